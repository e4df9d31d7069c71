"""A container of a pod, by ``kubectl exec``: commands and files there, and the sampler in it (docs/containers.md).

Every command runs behind one ``sh`` in the pod that says a word before anything else, because kubectl ends with 1 both when the
command does and when there is no such pod.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from harness.errors import TargetError, UsageError
from harness.targets.connectors.spec import OUTPUT_CAP_BYTES, Done, FileTooLong
from harness.targets.engines.spec import EngineError, Ran, short
from harness.targets.engines.streams import run

_LABEL = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"  # RFC 1123, as names of pods are
_PLACE = re.compile(rf"(?:(?P<namespace>{_LABEL})/)?(?P<pod>{_LABEL})(?::(?P<container>{_LABEL}))?\Z")
_CONTEXT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@-]{0,252}\Z")
_BEGIN = 'printf "%s\\n" "$0" >&2; exec "$@"'
_NO_SUCH_FILE = 44
_NOT_STARTED = (0, 1, 126, 127)  # also what kubectl and runtimes end with when there is no such pod, or no shell in it
_BLOCK = 1 << 16
_GET = '[ -f "$1" ] && [ ! -L "$1" ] || exit 44; exec dd if="$1" bs=65536 count="$2" 2>/dev/null'
_PUT = 'umask 077; set -C; cat >"$1.part" && ln "$1.part" "$1"; code=$?; rm -f "$1.part"; exit "$code"'
_WORD_BYTES = 64


@dataclass(frozen=True, slots=True)
class PodPlace:
    """``namespace/pod:container``; what is None is kubectl's default. ``context``: of kubectl's configuration."""

    pod: str
    namespace: str | None = None
    container: str | None = None
    context: str | None = None


def parse_place(text: str, context: str | None = None) -> PodPlace:
    """These words become words of a command line, so they are matched strictly. Raises UsageError."""
    match = _PLACE.match(text)
    if match is None or (context is not None and not _CONTEXT.match(context)):
        raise UsageError(f"{short(text)!r} is no pod", hint="write pod, namespace/pod or namespace/pod:container")
    return PodPlace(match["pod"], match["namespace"], match["container"], context)


def parse_address(address: str) -> PodPlace:
    """Where ``kubectl://context@namespace/pod/container`` is; context and container may be left out. Raises UsageError."""
    scheme, _, rest = address.partition("://")
    context, at, place = rest.rpartition("@")
    words = place.split("/")
    if scheme != "kubectl" or len(words) not in (2, 3):
        hint = "write kubectl://namespace/pod or kubectl://namespace/pod/container"
        raise UsageError(f"{short(address)!r} is no address of a pod", hint=hint)
    return parse_place(f"{words[0]}/{':'.join(words[1:])}", context if at else None)


class KubectlConnector:
    """See `Connector`. ``program``: kubectl, with the user's configuration."""

    def __init__(self, place: PodPlace, program: str = "kubectl") -> None:
        self._place = place
        self._program = program

    @property
    def name(self) -> str:
        """The pod's name."""
        return self._place.pod

    def command(self, argv: Sequence[str]) -> list[str]:
        """``kubectl exec -i ... -- argv``."""
        place = self._place
        options = [
            *(() if place.context is None else (f"--context={place.context}",)),
            *(() if place.namespace is None else (f"--namespace={place.namespace}",)),
        ]
        container = () if place.container is None else (f"--container={place.container}",)
        return [self._program, *options, "exec", "--stdin", *container, place.pod, "--", *argv]

    def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0, cap_bytes: int = OUTPUT_CAP_BYTES
    ) -> Done:
        """See `Connector`. The pod needs a POSIX ``sh``."""
        word = secrets.token_hex(16)
        line = self.command(["sh", "-c", _BEGIN, word, *argv])
        try:
            ran = run(line, stdin, cap_bytes=cap_bytes + _WORD_BYTES, timeout_s=timeout_s)
        except EngineError as error:
            raise TargetError(f"the pod {self._place.pod} cannot be reached: {error}") from error
        _, begun, complaints = ran.errors.partition(f"{word}\n".encode())
        if not begun and ran.code not in _NOT_STARTED and ran.errors.endswith(_last_words(ran.code)):
            complaints = ran.errors  # it did run: what it said on its way may be lost where it ends at once
        elif not begun:
            raise TargetError(f"the pod {self._place.pod} cannot be reached: {_said(ran)}", hint="kubectl get pods")
        # what kubectl says first (which container it has chosen) is not the command's
        return Done(ran.code, ran.output[:cap_bytes], _without_last_words(complaints, ran.code)[:cap_bytes])

    def put(self, data: bytes, path: PurePosixPath) -> None:
        """See `Connector`."""
        done = self.run(["sh", "-c", _PUT, "sh", _exact(path)], stdin=data)
        if done.code != 0:
            raise TargetError(f"cannot write {path} in the pod {self._place.pod}: {done.last_words}")

    def get(self, path: PurePosixPath, cap_bytes: int) -> bytes | None:
        """See `Connector`."""
        blocks = cap_bytes // _BLOCK + 1
        done = self.run(
            ["sh", "-c", _GET, "sh", _exact(path), str(blocks)], cap_bytes=cap_bytes + _BLOCK, timeout_s=300.0
        )
        if done.code == _NO_SUCH_FILE:
            return None
        if done.code != 0:
            raise TargetError(f"cannot read {path} in the pod {self._place.pod}: {done.last_words}")
        if len(done.output) > cap_bytes:
            raise FileTooLong(f"{path} in the pod {self._place.pod} is longer than {cap_bytes} bytes")
        return done.output

    def close(self) -> None:
        """Nothing is held."""


def _exact(path: PurePosixPath) -> str:
    if not path.is_absolute() or ".." in path.parts or not path.name:
        raise TargetError(f"{str(path)!r} is no exact path")
    return str(path)


def _said(ran: Ran) -> str:
    return short(ran.errors.decode("utf-8", "replace")) or f"kubectl ended with {ran.code}"


def _without_last_words(complaints: bytes, code: int) -> bytes:
    """kubectl adds "command terminated with exit code N" to what the command said."""
    return complaints.removesuffix(_last_words(code)) if code else complaints


def _last_words(code: int) -> bytes:
    return f"command terminated with exit code {code}\n".encode()
