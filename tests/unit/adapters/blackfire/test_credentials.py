"""Where credentials are found, which win, and that a damaged file is told without its lines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adapters.blackfire.credentials import checked_endpoint, config_file, find_credentials
from harness.errors import UsageError

INI = "[blackfire]\n; a comment\nclient-id=from-file\nclient-token=%token%\nendpoint=https://proxy.example/\ntimeout=15s\nhttps-proxy=http://p:1\n"


def test_the_file_of_the_command_line_and_the_variables(tmp_path: Path) -> None:
    for name in ("own", "xdg", "home"):
        (tmp_path / name).mkdir()
    environ = {
        name: str(tmp_path / d) for name, d in (("BLACKFIRE_HOME", "own"), ("XDG_CONFIG_HOME", "xdg"), ("HOME", "home"))
    }
    assert config_file(environ) is None
    with pytest.raises(UsageError, match=r"no client id in the environment and no \.blackfire\.ini"):
        find_credentials(environ)
    for name in ("home", "xdg", "own"):
        (tmp_path / name / ".blackfire.ini").write_text(INI)
        assert config_file(environ) == tmp_path / name / ".blackfire.ini"
    found = find_credentials(environ)
    assert (found.client_id, found.client_token, found.endpoint) == ("from-file", "%token%", "https://proxy.example")
    assert (found.timeout_s, found.proxies, found.source) == (
        15,
        {"https": "http://p:1"},
        str(tmp_path / "own" / ".blackfire.ini"),
    )
    own = {"BLACKFIRE_CLIENT_ID": "id", "BLACKFIRE_CLIENT_TOKEN": "t", "BLACKFIRE_ENV": "shop"}
    found = find_credentials({**environ, **own, "BLACKFIRE_ENDPOINT": "https://x"})
    assert (found.client_id, found.client_token, found.endpoint) == ("id", "t", "https://x")
    assert (found.source, found.environment) == ("the environment", "shop")
    assert find_credentials(own).endpoint == "https://blackfire.io"


@pytest.mark.parametrize(
    "text",
    ["client-token=hidden-token", "[blackfire\nclient-token=hidden-token", "[blackfire]\n\x00=\xff=\n hidden-token"],
)
def test_a_damaged_file_is_one_error_without_its_lines(tmp_path: Path, text: str) -> None:
    (tmp_path / ".blackfire.ini").write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError) as caught:
        find_credentials({"HOME": str(tmp_path)})
    assert "hidden-token" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://blackfire.io", "ftp://x", "x", "https://user:pass@x", "http://"])
def test_tokens_go_nowhere_unencrypted(url: str) -> None:
    with pytest.raises(UsageError):
        find_credentials({"BLACKFIRE_CLIENT_ID": "i", "BLACKFIRE_CLIENT_TOKEN": "t", "BLACKFIRE_ENDPOINT": url})


@pytest.mark.parametrize(
    "url",
    [
        "https://[::1",
        "https://ex\nample",
        "https://\u2603.example",
        "https://a..b",
        "https://x:abc",
        "https://" + "a" * 300,
    ],
)
def test_an_address_that_cannot_be_is_one_error(url: str) -> None:
    with pytest.raises(UsageError, match="is not an http"):
        checked_endpoint(url)


@pytest.mark.parametrize(
    "url",
    ["https://blackfire.io", "https://blackfire.io:8443/x", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost"],
)
def test_addresses_that_can_be(url: str) -> None:
    assert checked_endpoint(url) == url


def test_a_file_with_a_byte_order_mark_and_percent_signs(tmp_path: Path) -> None:
    (tmp_path / ".blackfire.ini").write_bytes(b"\xef\xbb\xbf[blackfire]\nclient-id=a%b\nclient-token=t%(x)s\n")
    found = find_credentials({"HOME": str(tmp_path)})
    assert (found.client_id, found.client_token) == ("a%b", "t%(x)s")


def test_a_home_of_somebody_else_has_no_file(tmp_path: Path) -> None:
    """Asked as an account that may not look into it."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    code = f"""
import os
from adapters.blackfire.credentials import config_file
if os.geteuid() == 0:
    os.setgid(65534), os.setuid(65534)
else:
    os.chmod({str(home)!r}, 0)
print(config_file({{"HOME": {str(home)!r}}}))
"""
    tmp_path.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=Path.cwd())
    home.chmod(0o700)
    assert done.stdout == "None\n", done.stderr
