"""Make a bundle of a run: redacted database, parsed profiles, what was asked for beside them, and a manifest of it all."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import socket
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from harness import __version__
from harness.analysis.prescriptions import KEPT
from harness.analysis.profile_texts import Texts, rewritten
from harness.analysis.profiles import parse_profiles
from harness.analysis.recovery import recover
from harness.bundle import container
from harness.bundle.contents import FORMAT, Contents, Member, to_json
from harness.bundle.rows import Rewriting, names_kept
from harness.bundle.scenario import containers_in, shared_scenario
from harness.errors import RunError, UsageError
from harness.model.report import ProfileView
from harness.redact.known import environment_values, secret_values, sent_values, variables
from harness.redact.secrets import looks_random
from harness.redact.sharing import PERSONS, Sharing, strings_in
from harness.store import layout
from harness.store.copying import copy_run
from harness.store.profile_json import FORMAT as PROFILE_FORMAT
from harness.store.profile_json import MARK, dump_profile
from harness.store.reader import Names, read_names
from harness.store.writer import is_recording

_LOG_BYTES = 1 << 20
_PLAIN_WORD = re.compile(r"[a-z]{1,8}")
_PLAIN_VALUE = re.compile(r"[a-z][a-z_.\-]{0,40}|.{0,5}", re.DOTALL)
_WHY = {
    "file of a profiler": "it says more than can be taken out of it; what was read from it is here",
    "file that could not be read": "what is in it is not known, so nothing of it can be shared",
    "log of the target": "pack with --with-logs to add them, redacted",
    "line of source": "pack with --with-source to add them",
    "rule of your own": "pack with --with-rules to add them as they are",
    "file of the session": "settings, agents and records that were only needed to record",
}

_TOLD = (  # in every report of a bundle
    "bundle",
    "names, values and texts that say whose run it was were replaced or left out when it was packed",
    "host-1, value-2 and the like stand for what only the owner of the run knows; all numbers are as measured",
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is packed beside the usual. ``rules`` are copied as they are, the others redacted."""

    source: bool = False
    logs: bool = False
    rules: bool = False


@dataclass(slots=True)
class _Packed:
    """Members in the order of the file, and what was left out."""

    members: list[tuple[str, Path | bytes, str]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def pack(run_directory: Path, output: Path, wanted: Wanted, environment: Mapping[str, str]) -> Contents:
    """Write ``output``, which must not exist yet, and say what is in it. ``environment``: where values of ``${NAME}`` come
    from, so that they are found in texts. Raises RunError, and UsageError when the file cannot be written."""
    if is_recording(run_directory):
        raise RunError(f"{run_directory}: is still being recorded", hint="stop it, or wait for its end")
    recover(run_directory)
    names = read_names(run_directory)
    sharing = _learned(names, environment)
    packed = _Packed()
    try:
        with tempfile.TemporaryDirectory(prefix="harness-bundle-", dir=output.absolute().parent) as place:
            artifacts = _profiles(
                run_directory, parse_profiles(names.artifacts, run_directory), sharing, wanted, packed
            )
            database = Path(place, layout.DATABASE)
            copy_run(run_directory, database, Rewriting(sharing, artifacts).tables, {"missing": [_TOLD]})
            packed.members.insert(0, (layout.DATABASE, database, "the recording"))
            _logs(run_directory, sharing, wanted, packed)
            _rules(run_directory, wanted, packed)
            packed.left_out["file of the session"] = sum(p.is_file() for p in (run_directory / layout.WORK).rglob("*"))
            contents = _contents(sharing.code(names.manifest.run_id), sharing, wanted, packed)
            finished = Path(place, "bundle")
            files = ((name, content) for name, content, _ in packed.members)
            container.write(finished, [(container.MANIFEST, to_json(contents)), *files])
            _publish(finished, output)
    except FileExistsError as error:
        raise UsageError(f"{output}: is there already", hint="name another file with -o") from error
    except OSError as error:
        raise UsageError(
            f"cannot write {output}: {error.strerror or error}", hint="choose another file with -o"
        ) from error
    return contents


def _publish(finished: Path, output: Path) -> None:
    """Never over a file that is there."""
    try:
        os.link(finished, output)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if output.exists():
            raise FileExistsError(str(output)) from None
        finished.rename(output)


def file_name(run_directory: Path, environment: Mapping[str, str]) -> str:
    """What the bundle of a run is called where nobody says. Raises RunError."""
    names = read_names(run_directory)
    shown = _learned(names, environment).code(names.manifest.run_id)
    return re.sub(r"[^\w.\-]+", "-", shown)[:100].lstrip(".-") + container.ENDING


def _learned(names: Names, environment: Mapping[str, str]) -> Sharing:
    """A redactor that knows what was sent, what the environment holds, and whose machine this is and was."""
    manifest, scenario, sharing = names.manifest, names.manifest.scenario, Sharing()
    watched = {host.name for host in manifest.hosts}  # which are pools too, and would be kept as such
    plain = names_kept(scenario, names.pools, names.endpoints)
    kept = [name for name in plain if not looks_random(name) and name not in watched]
    sharing.learn(
        "value", secret_values(scenario)
    )  # secrets first: an endpoint that is called like one is no reason to keep it
    sent = [text for text in sent_values(scenario) if not _PLAIN_WORD.fullmatch(text)]
    values = [value for _, value in environment_values(scenario) if not _PLAIN_VALUE.fullmatch(value)]
    sharing.learn("value", [environment[name] for name in sorted(variables(scenario)) if name in environment], kept)
    sharing.learn("host", [*_spellings(str(manifest.host.get("node") or "")), *_spellings(socket.gethostname())], kept)
    sharing.learn("host", sorted(watched))
    sharing.learn("host", _hosts(scenario), kept)
    sharing.learn("name", containers_in(scenario), kept)
    sharing.learn("user", _users(), kept)
    sharing.learn("value", values, kept)
    sharing.learn("program", [name for name in names.programs if sharing.program(name) != name], kept)
    sharing.learn("value", sent, kept)  # last: there may be more of them than can be looked for
    shared_scenario(scenario, sharing)  # numbers its names first: runs of one scenario that are shared can be compared
    sharing.counts.clear()
    return sharing


def _spellings(host: str) -> Iterator[str]:
    """A machine's name, the short one that messages use, and the domain it is in."""
    short, _, domain = host.partition(".")
    yield host
    if not host.replace(".", "").isdigit():
        yield short
    if "." in domain:
        yield domain


def _users() -> list[str]:
    found = [os.environ.get("SUDO_USER", "")]
    with contextlib.suppress(RuntimeError):  # in a container a user id may have neither a home nor a name
        found.append(Path.home().name)
    with contextlib.suppress(KeyError, OSError):
        found.append(getpass.getuser())
    return [name for name in found if name not in PERSONS]


def _hosts(scenario: Mapping[str, object]) -> Iterator[str]:
    for text in strings_in(scenario):
        if "://" in text and len(text) < 2000:
            try:
                host = urlsplit(text).hostname
            except ValueError:
                continue
            if host and "${" not in host:
                yield host


def _profiles(
    run_directory: Path, views: tuple[ProfileView, ...], sharing: Sharing, wanted: Wanted, packed: _Packed
) -> dict[int, tuple[str | None, str, Mapping[str, object]]]:
    """Adds the profiles; for each artifact, by the number of its row, its path in the bundle, why it has none, attributes."""
    found: dict[int, tuple[str | None, str, Mapping[str, object]]] = {}

    def source(line: str) -> str | None:
        if wanted.source:
            return sharing.source(line)
        packed.left_out["line of source"] += 1
        return None

    texts = Texts(sharing.code, sharing.path, sharing.label, sharing.text, source)
    for number, view in enumerate(views, 1):
        if view.profile is None:
            found[number] = (None, "its file was left out" if view.artifact.path else "", {})
            packed.left_out[
                "file that could not be read" if view.artifact.opens_with is None else "file of a profiler"
            ] += view.artifact.path is not None
            continue
        name = f"{layout.ARTIFACTS}/profile-{number}.json"
        content = dump_profile(rewritten(view.profile, texts))
        packed.members.append((name, content, f"profile of {sharing.code(view.artifact.tool)}"))
        packed.left_out["file of a profiler"] += 1
        found[number] = (name, "", {MARK: PROFILE_FORMAT})
    return found


def _logs(run_directory: Path, sharing: Sharing, wanted: Wanted, packed: _Packed) -> None:
    for number, path in enumerate(sorted((run_directory / layout.ARTIFACTS).glob("target-*.log")), 1):
        if not path.is_file() or path.is_symlink():
            continue
        if not wanted.logs:
            packed.left_out["log of the target"] += 1
            continue
        with path.open("rb") as file:
            begin = max(0, path.stat().st_size - _LOG_BYTES)
            file.seek(max(0, begin - 1))
            if begin:
                file.readline(_LOG_BYTES)  # the rest of a line: half a secret does not look like one
            text = file.read(_LOG_BYTES).decode("utf-8", "replace")
        shown = "".join(sharing.text(line) + "\n" for line in text.splitlines())
        packed.members.append(
            (f"logs/log-{number}.txt", shown.encode("utf-8", "replace"), "output of the target, its end")
        )


def _rules(run_directory: Path, wanted: Wanted, packed: _Packed) -> None:
    directories = (
        sorted(p for p in (run_directory / KEPT).glob("*") if p.is_dir()) if (run_directory / KEPT).is_dir() else []
    )
    for outer, directory in enumerate(directories):
        for inner, path in enumerate(sorted(p for p in directory.iterdir() if p.is_file() and not p.is_symlink())):
            if wanted.rules:
                packed.members.append(
                    (f"{KEPT}/{outer:03d}/{inner:03d}.yaml", path.read_bytes(), "rules of whoever packed it")
                )
            else:
                packed.left_out["rule of your own"] += 1


def _contents(run_id: str, sharing: Sharing, wanted: Wanted, packed: _Packed) -> Contents:
    members = {name: Member(*container.digest(content), what) for name, content, what in packed.members}
    left_out = {kind: count for kind, count in sorted(packed.left_out.items()) if count}
    asked = (
        ("source lines", wanted.source),
        ("logs of the target, redacted", wanted.logs),
        ("rules, as they are", wanted.rules),
    )
    return Contents(
        format=FORMAT,
        tool_version=__version__,
        run=run_id,
        members=members,
        replaced=dict(sorted(sharing.counts.items())),
        left_out=left_out,
        reasons={kind: _WHY[kind] for kind in left_out if kind in _WHY},
        kept=tuple(what for what, yes in asked if yes),
    )
