"""Blackfire's HTTP API, as the vendor's own SDKs use it: whose account, a signed query for one profile, and what became of it.

    GET  {endpoint}/api/v1/collab-tokens             Authorization: Basic client_id:client_token
    POST {endpoint}/api/v1/signing                   {"collabToken": .., "profileSlot": nil}  -> uuid, query_string, options
    GET  {endpoint}/api/v1/profiles/{uuid}           until status.code > 0
    PUT  {endpoint}/api/v1/profiles/{uuid}           label=..          PUT .../{uuid}/store  {..}

Source: php-sdk 2.5.13 (MIT), ``Client.php``, and the requests it made. Tokens and queries are in no message, log or repr.
"""

from __future__ import annotations

import json
import re
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import urlencode, urlsplit

import httpx

from adapters.blackfire.credentials import WHERE, Credentials
from adapters.blackfire.query import NIL
from harness.errors import TargetError, UsageError

_ANSWER_CAP_BYTES = 8 << 20
_POLLS = 60
_POLL_STEP_S = 0.05
_UNSTEADY = frozenset({404, 405, 500, 502, 503, 504})  # what the SDK asks again at, while a profile is made
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_ARGUMENTS: Mapping[str, str] = {"aggreg_samples": "1"}  # both SDKs insist on it


class ApiError(TargetError):
    """A request that failed; ``status`` of the answer, None when there was none."""

    def __init__(self, message: str, *, hint: str | None = None, status: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


@dataclass(frozen=True, slots=True)
class CollabToken:
    """A place for profiles: the personal one, or an environment."""

    token: str = field(repr=False)
    name: str
    kind: str
    identifiers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Signed:
    """A query for one profile, good as ``X-Blackfire-Query`` or BLACKFIRE_QUERY, and the profile's identity at the vendor's."""

    query: str = field(repr=False)
    uuid: str


@dataclass(frozen=True, slots=True)
class ProfileInfo:
    """What became of a profile. ``envelope``: wt and cpu in us, mu and pmu in bytes; ``code`` 0: not ready, 64: finished."""

    uuid: str
    code: int
    status: str
    failure: str | None
    envelope: Mapping[str, int]
    graph_url: str | None


# --- requests ---------------------------------------------------------------------------------------------------------


class Api:
    """A client for one account; a context manager. Methods raise ApiError."""

    def __init__(self, credentials: Credentials, sleep: Callable[[float], None] = time.sleep) -> None:
        self._credentials = credentials
        self._sleep = sleep
        proxy = credentials.proxies.get(urlsplit(credentials.endpoint).scheme)
        try:
            context = True if credentials.ca_file is None else ssl.create_default_context(cafile=credentials.ca_file)
            self._http = httpx.Client(
                auth=httpx.BasicAuth(credentials.client_id, credentials.client_token),
                headers={"User-Agent": "profiling-harness", "X-Blackfire-User-Agent": "profiling-harness"},
                timeout=credentials.timeout_s,
                verify=context,
                proxy=proxy,
                follow_redirects=False,  # the token stays with who it was given for
            )
        except OSError as error:
            raise UsageError(f"cannot use ca-cert {credentials.ca_file}: {error.strerror or error}") from error
        except (ValueError, httpx.InvalidURL):
            raise UsageError(
                "a proxy for Blackfire is not an address", hint="http-proxy and https-proxy in .blackfire.ini"
            ) from None

    def __enter__(self) -> Api:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def collab_tokens(self) -> tuple[CollabToken, ...]:
        """The places this account may put profiles."""
        found = self._call("GET", "/api/v1/collab-tokens").get("collabTokens")
        if not isinstance(found, list):
            raise self._odd("collab-tokens")
        return tuple(
            _collab_token(each) for each in found[:10_000] if isinstance(each, dict) and each.get("collabToken")
        )

    def sign(self, arguments: Mapping[str, str] = _ARGUMENTS) -> Signed:
        """A query for one profile, in the environment of the credentials; it counts against the account's quota."""
        body = {"collabToken": self._place().token, "profileSlot": NIL}
        answer = self._call("POST", "/api/v1/signing", json=body)
        text, uuid = answer.get("query_string"), answer.get("uuid")
        if not isinstance(text, str) or not isinstance(uuid, str) or not _UUID.match(uuid) or "signature=" not in text:
            raise self._odd("signing")
        options = answer.get("options")
        told = {k: v for k, v in options.items() if type(v) in (str, int)} if isinstance(options, dict) else {}
        query = f"{text}&{urlencode({**told, **_ARGUMENTS, **arguments})}"
        if not query.isascii() or not query.isprintable():
            raise self._odd("signing")
        return Signed(query, uuid)

    def profile(self, uuid: str) -> ProfileInfo:
        """How far a profile is."""
        return _profile_info(_checked(uuid), self._call("GET", f"/api/v1/profiles/{_checked(uuid)}"))

    def wait(self, uuid: str) -> ProfileInfo:
        """The same once the profile is finished or has failed: at most 60 looks, 92 s."""
        trouble: ApiError | None = None
        for number in range(1, _POLLS + 1):
            try:
                found = self.profile(uuid)
            except ApiError as error:
                if error.status is not None and error.status not in _UNSTEADY:
                    raise
                trouble = error
            else:
                trouble = None
                if found.code > 0:
                    return found
            self._sleep(_POLL_STEP_S * number)
        if trouble is not None:
            raise trouble
        raise ApiError(
            f"Blackfire has not finished the profile {uuid} after {_POLLS} looks",
            hint="was it sent to Blackfire at all?",
        )

    def label(self, uuid: str, title: str) -> None:
        """Give a profile its title."""
        self._call("PUT", f"/api/v1/profiles/{_checked(uuid)}", data={"label": title[:250]})

    def store(self, uuid: str, metadata: Mapping[str, str]) -> None:
        """Put words of ours beside a profile."""
        self._call("PUT", f"/api/v1/profiles/{_checked(uuid)}/store", json=dict(metadata))

    def _place(self) -> CollabToken:
        wanted = self._credentials.environment
        found = self.collab_tokens()
        for each in found:
            if (wanted and wanted in (each.name, each.token, *each.identifiers)) or (
                not wanted and each.kind == "personal"
            ):
                return each
        if wanted:
            names = ", ".join(each.name for each in found[:10] if each.kind != "personal") or "none"
            raise UsageError(f"this account has no Blackfire environment {wanted!r}", hint=f"it has: {names}")
        if found:
            return found[0]
        raise ApiError("this Blackfire account may put profiles nowhere", hint="create an environment at blackfire.io")

    def _call(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        data: Mapping[str, str] | None = None,
    ) -> dict[str, object]:
        url = self._credentials.endpoint + path
        try:
            with self._http.stream(method, url, json=json, data=data) as response:
                body = bytearray()
                deadline = time.monotonic() + self._credentials.timeout_s  # httpx's own is for each piece
                for piece in response.iter_bytes():
                    body += piece
                    if time.monotonic() > deadline:
                        raise httpx.ReadTimeout("it goes on and on")
                    if len(body) > _ANSWER_CAP_BYTES:
                        raise ApiError(f"Blackfire's answer is larger than {_ANSWER_CAP_BYTES} bytes")
                return self._answer(response.status_code, bytes(body))
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None  # its text may quote the request

    def _answer(self, status: int, body: bytes) -> dict[str, object]:
        try:
            found = _loads(body)
        except ValueError:
            found = {} if 200 <= status < 300 and not body.strip() else None
        if 200 <= status < 300 and isinstance(found, dict):
            return found
        said = found.get("message") if isinstance(found, dict) else None
        raise self._refused(status, self._clean(said) if isinstance(said, str) else "")

    def _refused(self, status: int, said: str) -> ApiError:
        told = f": {said}" if said else ""
        source = self._credentials.source
        if status == 401:
            return ApiError(f"Blackfire does not accept the credentials from {source}{told}", hint=WHERE, status=status)
        if status in (402, 429) or "quota" in said.lower():
            hint = "wait until the quota is renewed, or profile with another tool"
            return ApiError(f"the quota of this Blackfire account is used up{told}", hint=hint, status=status)
        if status == 403:
            hint = "is the environment (BLACKFIRE_ENV) one that this account may profile in?"
            return ApiError(f"this Blackfire account may not do that{told}", hint=hint, status=status)
        if 300 <= status < 400:
            hint = "correct BLACKFIRE_ENDPOINT: redirections are not followed, because the token would go along"
            return ApiError(f"{self._credentials.endpoint} answers with a redirection", hint=hint, status=status)
        if 200 <= status < 300:
            return self._odd("API")
        later = "try again later" if status >= 500 else None
        return ApiError(f"Blackfire answered with status {status}{told}", hint=later, status=status)

    def _unreachable(self, error: httpx.HTTPError) -> ApiError:
        endpoint = self._credentials.endpoint
        if isinstance(error, httpx.ProxyError):
            return ApiError(
                "the proxy does not let us to Blackfire", hint="check HTTPS_PROXY, or https-proxy in .blackfire.ini"
            )
        if isinstance(error, httpx.TimeoutException):
            limit = f"{self._credentials.timeout_s:g} s"
            return ApiError(f"{endpoint} did not answer within {limit}", hint="timeout in .blackfire.ini allows more")
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            hint = "where a proxy opens TLS, name its certificate: ca-cert in .blackfire.ini"
            return ApiError(f"the certificate of {endpoint} cannot be verified", hint=hint)
        hint = "is there a way to the network, or a proxy to name (https-proxy in .blackfire.ini)?"
        return ApiError(f"{endpoint} cannot be reached ({type(error).__name__})", hint=hint)

    def _odd(self, what: str) -> ApiError:
        hint = "has the API changed, or is something else at BLACKFIRE_ENDPOINT?"
        return ApiError(f"{self._credentials.endpoint} gave an unexpected answer ({what})", hint=hint, status=200)

    def _clean(self, text: str) -> str:
        basic = b64encode(f"{self._credentials.client_id}:{self._credentials.client_token}".encode()).decode()
        for secret in (basic, self._credentials.client_token, self._credentials.client_id):
            text = text.replace(secret, "...")
        return _CONTROL.sub(" ", text)[:300]


def _loads(body: bytes) -> object:
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _checked(uuid: str) -> str:
    if not _UUID.match(uuid):
        raise UsageError(f"{uuid[:80]!r} is not the identity of a Blackfire profile")
    return uuid


def _collab_token(data: Mapping[str, object]) -> CollabToken:
    identifiers = data.get("search_identifiers")
    listed = identifiers[:50] if isinstance(identifiers, list) else []
    return CollabToken(
        str(data.get("collabToken")),
        str(data.get("name", ""))[:200],
        str(data.get("type", ""))[:50],
        tuple(map(str, listed)),
    )


def _profile_info(uuid: str, data: Mapping[str, object]) -> ProfileInfo:
    status, envelope, links = (_mapping(data.get(name)) for name in ("status", "envelope", "_links"))
    code, failure, graph = (
        status.get("code"),
        status.get("failure_reason"),
        _mapping(links.get("graph_url")).get("href"),
    )
    return ProfileInfo(
        uuid,
        code if isinstance(code, int) else 0,
        str(status.get("name", ""))[:100],
        str(failure)[:500] if failure else None,
        {str(key)[:50]: value for key, value in list(envelope.items())[:50] if isinstance(value, int)},
        graph[:500] if isinstance(graph, str) else None,
    )


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
