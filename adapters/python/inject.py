"""Has a running Python execute a file, by stopping it for a moment: with gdb, or with ``sys.remote_exec`` where that exists.

gdb makes the process call ``Py_AddPendingCall(PyRun_SimpleString, text)``, and lets it go at once; the text runs later, in the
main thread, between two instructions of Python code, as signal handlers do. That call needs no lock of the interpreter, and the
text is put into a page of its own (``mmap``), because the process may have been stopped inside ``malloc``. Both functions are
found by their exported names, so that a stripped Python will do. See Python/ceval_gil.c, Py_AddPendingCall.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from harness.errors import TargetError

GDB_TIMEOUT_S = 20.0
_END_TIMEOUT_S = 2.0
_LAST_BREATH_S = 0.1  # a process that gdb left in the middle of the call ends a moment later
_PAGE_BYTES = 4096
_STOPPING, _GONE = "harness: stopping", "harness: going on"
_ADDED = re.compile(r"^harness: added (-?\d+)$", re.MULTILINE)
_FIRST_REMOTE = (3, 14)


def by_remote_exec(version: tuple[int, int]) -> str | None:
    """Why ``sys.remote_exec`` cannot be used on a Python of this version from here; None: it can. Empty: not needed."""
    if version < _FIRST_REMOTE:
        return ""
    if sys.version_info[:2] == version:
        return None
    theirs, ours = (".".join(map(str, v)) for v in (version, sys.version_info[:2]))
    return f"it runs Python {theirs}, which only a harness under Python {theirs} can enter (this one runs {ours})"


def snippet(path: Path) -> str:
    """Python text that executes a file in a namespace of its own: it binds no name, and raises nothing. Pure."""
    name = os.fsencode(path).hex()
    run = (
        "try:\n"
        f" with open(bytes.fromhex('{name}'), 'rb') as stream:\n"
        "  text = stream.read()\n"
        " exec(compile(text, 'harness', 'exec'), {'__name__': 'harness'})\n"
        "except BaseException:\n"
        " pass\n"
    )
    return f"__import__('builtins').exec(bytes.fromhex('{run.encode().hex()}').decode(),{{}})"


def gdb_arguments(pid: int, text: str) -> list[str]:
    """What gdb is told. ``text``: ASCII without quotation marks and backslashes, shorter than a page. Pure."""
    assert text.isascii()
    assert not {'"', "\\", "\n"} & set(text)
    before = ("set auto-load off", "set debuginfod enabled off", "set auto-solib-add off")
    page = "((char *(*)(void *, unsigned long, int, int, int, long)) mmap)"
    call = "((int (*)(void *, void *)) Py_AddPendingCall)((void *) PyRun_SimpleString, $harness_page)"
    commands = (
        "set confirm off", "set pagination off", "set width 0", "set language c", "set unwindonsignal on",
        f"echo {_STOPPING}\\n", f"attach {pid}", "handle all nostop noprint pass",
        "sharedlibrary libpython", "sharedlibrary libc[.-]", "sharedlibrary ld-musl",
        f"set $harness_page = {page}(0, {_PAGE_BYTES}, 3, 0x22, -1, 0)",  # PROT_READ|WRITE, MAP_PRIVATE|ANONYMOUS
        f'set {{char [{len(text) + 1}]}} $harness_page = "{text}"',
        f"set $harness_added = $harness_page == (char *) -1 ? -2 : {call}",
        'printf "harness: added %d\\n", $harness_added',
        "detach", f"echo {_GONE}\\n",
    )  # fmt: skip
    arguments = ["--nx", "--batch", "-readnever"]
    for command in before:
        arguments += ["-iex", command]
    arguments.append(f"/proc/{pid}/exe")  # read before the process is stopped
    for command in commands:
        arguments += ["-ex", command]
    return arguments


def with_gdb(pid: int, path: Path, timeout_s: float = GDB_TIMEOUT_S) -> int:
    """Have a process execute ``path``; ns that it was stopped, at most. Raises TargetError when it could not be told."""
    gdb = shutil.which("gdb")
    if gdb is None:
        raise TargetError(
            "putting the agent into a running process needs gdb", hint="install it (Debian: apt install gdb)"
        )
    text = snippet(path)
    if len(text) >= _PAGE_BYTES:
        raise TargetError(f"the path of the run is too long: {path}", hint="choose a shorter one with --out")
    try:
        target = os.pidfd_open(pid)
    except OSError as error:
        raise TargetError(f"process {pid} has ended", hint="is the service restarting? try again") from error
    began = time.monotonic_ns()
    process = subprocess.Popen(
        [gdb, *gdb_arguments(pid, text)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True, env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip
    marks: dict[str, int] = {}
    try:
        output = _follow(process, began + int(timeout_s * 1e9), marks)
    finally:
        _end(process)
        alive = _let_go(target, pid, _GONE in marks)
    stopped_ns = marks.get(_GONE, time.monotonic_ns()) - marks.get(_STOPPING, began)
    added = _ADDED.search(output)
    if not alive:
        raise TargetError(f"process {pid} ended while gdb was at it: {_reason(output, None)}")
    if added is None or int(added[1]) != 0:
        raise TargetError(
            f"gdb could not make process {pid} run the agent: {_reason(output, added)}",
            hint=f"it was stopped for at most {stopped_ns / 1e6:.0f} ms, and goes on; sampling from outside is not affected",
        )
    return stopped_ns


def remotely(pid: int, path: Path) -> None:
    """The same on 3.14 and newer, for a harness of the same minor version. Raises TargetError."""
    start = path.with_suffix(".start.py")
    start.write_text(snippet(path) + "\n", "ascii")
    start.chmod(path.stat().st_mode & 0o777)
    os.chown(start, path.stat().st_uid, -1)
    try:
        sys.remote_exec(pid, os.fspath(start))  # type: ignore[attr-defined, unused-ignore]  # since 3.14
    except (OSError, RuntimeError, ValueError) as error:
        raise TargetError(
            f"process {pid} does not let itself be entered: {error}",
            hint="PYTHON_DISABLE_REMOTE_DEBUG, or -X disable_remote_debug, switches this off in the target",
        ) from error


def _follow(process: subprocess.Popen[bytes], until_ns: int, marks: dict[str, int]) -> str:
    """gdb's output until it ends or time is up; when each mark was read (monotonic ns) goes into ``marks``."""
    assert process.stdout is not None
    stream = process.stdout.fileno()
    output = ""
    while (left_ns := until_ns - time.monotonic_ns()) > 0:
        if not select.select([stream], [], [], left_ns / 1e9)[0]:
            break
        part = os.read(stream, 1 << 16)
        if not part:
            return output
        output = (output + part.decode("utf-8", "replace"))[-65536:]
        for mark in (_STOPPING, _GONE):
            if mark in output:
                marks.setdefault(mark, time.monotonic_ns())
    return output + "\nit did not end in time"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End gdb, if it has not ended: asked first, so that it takes back a call that it had begun."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            break
        os.killpg(process.pid, number)
        try:
            process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            continue
    if process.stdout is not None:
        process.stdout.close()


def _let_go(target: int, pid: int, in_order: bool) -> bool:
    """Make sure that a process goes on; whether it is there. ``target``: its pidfd, closed afterwards.

    The kernel lets it go when its tracer ends, but the stop that the tracer had asked for may stay, or be yet to come. SIGCONT
    ends it, and takes back those to come.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            stopped = stream.read(4096).rpartition(b")")[2].split()[:1] == [b"T"]
        if stopped or not in_order:
            signal.pidfd_send_signal(target, signal.SIGCONT)
        return not select.select([target], [], [], 0 if in_order else _LAST_BREATH_S)[0]
    except OSError:
        return False
    finally:
        os.close(target)


def _reason(output: str, added: re.Match[str] | None) -> str:
    if added is not None:
        return "it could get no memory" if added[1] == "-2" else "its list of pending calls is full"
    said = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith("harness:")]
    told = next(
        (line for line in said if "ptrace" in line or "No symbol" in line), said[-1] if said else "it said nothing"
    )
    return "".join(c if c.isprintable() else "?" for c in told)[:300]
