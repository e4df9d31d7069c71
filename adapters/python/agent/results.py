"""Result files of triggered tools: written whole, under names nobody can guess, readable by the harness."""

import json
import os


def write_result(directory, payload, stem=""):
    """Write a JSON-compatible dict and return the bare name of its file; OSError when that is not possible. ``stem``: its
    name, where the harness has chosen it."""
    if not directory:
        raise ToolError("the harness has named no directory for results")
    stem = stem if stem.isalnum() else os.urandom(16).hex()
    temporary = os.path.join(directory, "." + stem)
    name = stem + ".json"
    data = memoryview(json.dumps(payload, ensure_ascii=True).encode("ascii"))
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(fd, 0o644)  # the harness may be another user than the worker; the directory keeps everybody else out
        while data:
            data = data[os.write(fd, data) :]
        os.close(fd)
        fd = -1
        os.rename(temporary, os.path.join(directory, name))
    except BaseException:
        if fd >= 0:
            os.close(fd)
        os.unlink(temporary)
        raise
    return name


def describe(error):
    """One line about an exception, for people."""
    text = str(error).replace("\n", " ").strip()
    kind = type(error).__name__
    return text if kind == "ToolError" else "%s: %s" % (kind, text)


class ToolError(Exception):
    """The tool cannot be used here; the text says why and is shown as it is."""
