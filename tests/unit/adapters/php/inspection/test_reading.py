"""Configuration files and the kernel's view of processes, read whatever is in them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.php.inspection.access import EVERYBODY, file_modes, may_write, reaches
from adapters.php.inspection.files import Root
from adapters.php.inspection.fpm_files import parse_fpm, php_settings, pools_of, read_fpm
from adapters.php.inspection.fpm_memory import read_heap
from adapters.php.inspection.gather import fpm_configuration, usual_files
from adapters.php.inspection.ini_files import parse_ini
from adapters.php.inspection.model import Origin, Owner, Sapi, WebKind
from adapters.php.inspection.phpinfo import ask, read_phpinfo
from adapters.php.inspection.processes import look_at
from adapters.php.inspection.web import web_lines
from adapters.php.inspection.web_files import apache_lines, nginx_lines

INI = """\
; xdebug.mode = trace
[PHP]
memory_limit = 128M ; not more
  auto_prepend_file	=  "/a b/${WHERE}/x.php"
xdebug.trigger_value = 'a;b'
xdebug.output_dir = "/tmp/one
two"
error_reporting = E_ALL & ~E_NOTICE
log = ${NOWHERE:-/var/log}
no value here
xdebug.log =
[HOST=example.org]
xdebug.mode = trace
"""


def test_an_ini_file() -> None:
    found = parse_ini(INI, "/etc/php.ini", {"WHERE": "here"})
    assert [(d.name, d.value, d.place.line, d.origin) for d in found] == [
        ("memory_limit", "128M", 3, Origin.INI),
        ("auto_prepend_file", "/a b/here/x.php", 4, Origin.INI),
        ("xdebug.trigger_value", "a;b", 5, Origin.INI),
        ("xdebug.output_dir", "/tmp/one\ntwo", 6, Origin.INI),
        ("error_reporting", "E_ALL & ~E_NOTICE", 8, Origin.INI),
        ("log", "/var/log", 9, Origin.INI),
        ("xdebug.log", "", 11, Origin.INI),
        ("xdebug.mode", "trace", 13, Origin.SECTION),
    ]


def test_php_reads_the_same(tmp_path: Path) -> None:
    """Values as PHP itself understands them."""
    file = tmp_path / "php.ini"
    file.write_text(INI.split("[HOST", maxsplit=1)[0])
    names = ["memory_limit", "auto_prepend_file", "xdebug.trigger_value", "xdebug.output_dir", "xdebug.log"]
    code = "foreach (array_slice($argv, 1) as $n) echo get_cfg_var($n), chr(0);"
    said = subprocess.run(
        ["php", "-c", file, "-r", code, "--", *names], env={**os.environ, "WHERE": "here", "PHP_INI_SCAN_DIR": ""},
        capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    ours = {d.name: d.value for d in parse_ini(file.read_text(), str(file), {"WHERE": "here"})}
    assert said.split("\0")[:-1] == [ours[name] for name in names]


@given(st.text())
def test_any_text_is_read_in_order(text: str) -> None:
    for found in (parse_ini(text, "f"), list(parse_fpm(text, "f"))):
        lines = [item.place.line or 0 for item in found]
        assert lines == sorted(lines)
        assert all(0 < line <= text.count("\n") + text.count("\r") + 1 for line in lines)
    for parse in (nginx_lines, apache_lines):
        web, _ = parse(text, "f")
        assert all(0 < (line.place.line or 0) <= text.count("\n") + 1 for line in web)
    assert read_phpinfo("php", text) is None or "PHP Version" in text


def test_every_prefix_of_a_file_is_read() -> None:
    whole = parse_ini(INI, "f")
    for length in range(len(INI)):
        found = parse_ini(INI[:length], "f")
        assert [d.name for d in found[:-1]] == [d.name for d in whole[: max(0, len(found) - 1)]]


def test_pools_with_what_is_included(tmp_path: Path) -> None:
    (tmp_path / "pool.d").mkdir()
    main = tmp_path / "php-fpm.conf"
    main.write_text("[global]\npid = /run/x\ninclude=pool.d/*.conf\n")
    (tmp_path / "pool.d" / "b.conf").write_text(
        "[shop]\nuser = www-data\n;pm = static\npm.max_requests = 500\n"
        "env[XDEBUG_MODE] = profile\nphp_admin_value[memory_limit] = 64M\nphp_value[memory_limit] = 32M\n"
    )
    (tmp_path / "pool.d" / "a.conf").write_text("[www]\nlisten = 9000\n")
    (tmp_path / "pool.d" / ".hidden.conf").write_text("[never]\n")
    lines, unread = read_fpm(Root(), str(main))
    assert not unread
    www, shop = pools_of(lines)
    assert (www.name, shop.name) == ("www", "shop")
    assert shop.setting("pm.max_requests") == "500"
    assert str(shop.where("pm.max_requests")) == f"{tmp_path}/pool.d/b.conf:4"
    assert shop.env["XDEBUG_MODE"][0] == "profile"
    assert "pm" not in shop.lines
    assert [(d.value, d.place.line, d.pool) for d in php_settings(lines)] == [("32M", 7, "shop"), ("64M", 6, "shop")]


def test_includes_that_include_each_other_end(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("include=*.conf\n[a]\n")
    (tmp_path / "b.conf").write_text("include=a.conf\ninclude=/no/such\n[b]\n")
    lines, _ = read_fpm(Root(), str(tmp_path / "a.conf"))
    assert {pool.name for pool in pools_of(lines)} == {"a", "b"}


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        Root().text(str(tmp_path / "pipe"))
    _, unread = read_fpm(Root(), str(tmp_path / "none"))
    assert "No such file" in unread[0].why


def test_links_stay_inside_another_root(tmp_path: Path) -> None:
    """An absolute link of a container means its own file, never ours."""
    (tmp_path / "etc/mods").mkdir(parents=True)
    (tmp_path / "etc/conf.d").mkdir()
    (tmp_path / "etc/mods/x.ini").write_text("inside")
    (tmp_path / "etc/conf.d/20-x.ini").symlink_to("/etc/mods/x.ini")
    (tmp_path / "etc/conf.d/up.ini").symlink_to("../../../../../../etc/mods/x.ini")
    (tmp_path / "etc/conf.d/passwd.ini").symlink_to("/etc/passwd")
    (tmp_path / "etc/conf.d/loop.ini").symlink_to("loop.ini")
    root = Root(str(tmp_path))
    assert root.text("/etc/conf.d/20-x.ini") == root.text("/etc/conf.d/up.ini") == "inside"
    assert root.matching("/etc/conf.d/*.ini") == ["/etc/conf.d/20-x.ini", "/etc/conf.d/up.ini"]
    with pytest.raises(FileNotFoundError):
        root.text("/etc/conf.d/passwd.ini")
    with pytest.raises(OSError, match="levels of symbolic links"):
        root.text("/etc/conf.d/loop.ini")


NGINX = """\
http {
    # log_format never '$http_cookie';
    log_format with 'a $remote_addr'
                    ' $http_cookie';
    include conf.d/*.conf;
    map "$cookie_XDEBUG_TRIGGER$arg_XDEBUG_TRIGGER" $up { default a; }
    server { root /srv/www; location ~ \\.php$ {
        fastcgi_param PHP_VALUE "xdebug.mode=profile
            memory_limit=1G";
    } }
}
"""


def test_nginx() -> None:
    lines, included = nginx_lines(NGINX, "n")
    assert included == ("conf.d/*.conf",)
    assert [(line.kind, line.name, line.place.line) for line in lines] == [
        (WebKind.LOG_FORMAT, "with", 3),
        (WebKind.ARGUMENT, "XDEBUG_TRIGGER", 6),
        (WebKind.ROOT, "", 7),
        (WebKind.PARAMETER, "xdebug.mode", 8),
        (WebKind.PARAMETER, "memory_limit", 8),
    ]
    assert lines[0].value == "a $remote_addr $http_cookie"


def test_apache() -> None:
    text = (
        '# LogFormat "%{Cookie}i" x\nLogFormat "%h \\\n  %{Cookie}i" cookies\nDocumentRoot /srv/www\n'
        "php_admin_value xdebug.mode profile\nIncludeOptional sites-enabled/*.conf\n"
        'ProxyFCGISetEnvIf "true" PHP_VALUE "xdebug.start_with_request=yes"\n'
    )
    lines, included = apache_lines(text, "a")
    assert included == ("sites-enabled/*.conf",)
    assert [(line.kind, line.name, line.place.line) for line in lines] == [
        (WebKind.LOG_FORMAT, "cookies", 2),
        (WebKind.ROOT, "", 4),
        (WebKind.MODULE, "xdebug.mode", 5),
        (WebKind.PARAMETER, "xdebug.start_with_request", 7),
    ]


def heap_with(*words: bytes) -> bytes:
    """A heap at address 4096: strings, then the array of pointers to them."""
    strings, pointers = b"\0" * 16, b""
    for word in words:
        pointers += (4096 + len(strings)).to_bytes(8, "little")
        strings += word + b"\0"
        strings += b"\0" * (-len(strings) % 16)
    return strings + pointers + bytes(8) + b"\0XDEBUG_MODE=off\0LD_PRELOAD=/x\0PHPRC=/etc\0"


def test_the_heap_of_a_php_fpm() -> None:
    held = read_heap(heap_with(b"/usr/sbin/php-fpm8.2", b"-d", b"xdebug.mode=profile", b"-F"), 4096)
    assert held.argv == ("/usr/sbin/php-fpm8.2", "-d", "xdebug.mode=profile", "-F")
    assert held.environment == {"XDEBUG_MODE": "off", "PHPRC": "/etc"}
    assert read_heap(heap_with(b"_=/usr/sbin/php-fpm8.2", b"A=b"), 4096).argv == ()


@given(st.binary(max_size=300), st.integers(0, 200))
def test_any_heap_is_read(noise: bytes, cut: int) -> None:
    heap = heap_with(b"php-fpm", b"-n")
    for data in (noise, heap[:cut], heap[:cut] + noise, noise + heap):
        words = read_heap(data, 4096).argv
        assert not words or (Path(words[0]).name.startswith("php-fpm") and "=" not in words[0])


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("-F -y /etc/f.conf -d a=b -c /etc/php.ini", ("-d", "a=b", "-c", "/etc/php.ini")),
        ("--nodaemonize --fpm-config /etc/f.conf --define a=b -n", ("-d", "a=b", "-n")),
        ("-da=b --define=c=d -R -O -g /pid -c", ("-d", "a=b", "-d", "c=d", "-c", "")),
        ("", ()),
    ],
)
def test_options_of_php_fpm(words: str, options: tuple[str, ...]) -> None:
    assert fpm_configuration(words.split()) == options


def test_a_process_that_only_calls_itself_php_fpm(tmp_path: Path) -> None:
    """A title is a process's own word."""
    program = "import sys; print(flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        ["php-fpm: master process (/etc/passwd)", "-c", program], executable=os.path.realpath("/proc/self/exe"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        process.stdout.readline()
        seen = look_at(process.pid)
        assert seen is not None
        assert seen.sapi is None
        assert seen.owner.uid == os.geteuid()
    finally:
        process.communicate(b"", 10)
    assert look_at(process.pid) is None


# --- a PHP that cannot be asked -------------------------------------------------------------------------------------------


def container(directory: Path, layout: str, scan: str) -> None:
    for sub in (layout, f"{layout}/{scan}"):
        (directory / sub).mkdir(parents=True)
    (directory / layout / "php.ini").write_text("memory_limit = 1G\n")
    (directory / layout / scan / "20-xdebug.ini").write_text("zend_extension=xdebug\nxdebug.mode=profile\n")
    (directory / layout / scan / "20-xdebug.ini.bak").write_text("xdebug.mode=trace\n")


@pytest.mark.parametrize(
    ("layout", "scan"),
    [("usr/local/etc/php", "conf.d"), ("etc/php/8.3/fpm", "conf.d"), ("etc", "php.d"), ("etc/php83", "conf.d")],
)
def test_the_usual_places(tmp_path: Path, layout: str, scan: str) -> None:
    """The official image, Debian, Fedora, Alpine; below another root, as in a container."""
    container(tmp_path, layout, scan)
    files = usual_files(Root(str(tmp_path)), Sapi.FPM, "/usr/sbin/php-fpm", (), {})
    assert files == (f"/{layout}/php.ini", f"/{layout}/{scan}/20-xdebug.ini")


def test_what_the_options_and_the_environment_say_about_the_places(tmp_path: Path) -> None:
    container(tmp_path, "usr/local/etc/php", "conf.d")
    container(tmp_path, "own", "conf.d")
    root = Root(str(tmp_path))
    scanned = "/usr/local/etc/php/conf.d/20-xdebug.ini"
    own = "/own/conf.d/20-xdebug.ini"

    def files(options: tuple[str, ...], environment: dict[str, str]) -> tuple[str, ...]:
        return usual_files(root, Sapi.CLI, "/usr/local/bin/php", options, environment)

    assert files(("-n",), {}) == ()
    assert files(("-c", "/own/php.ini"), {}) == ("/own/php.ini", scanned)
    assert files((), {"PHPRC": "/own"}) == ("/own/php.ini", scanned)
    assert files((), {"PHP_INI_SCAN_DIR": ":/own/conf.d"}) == ("/usr/local/etc/php/php.ini", scanned, own)
    assert files((), {"PHP_INI_SCAN_DIR": ""}) == ("/usr/local/etc/php/php.ini",)


def test_web_servers_with_what_they_include(tmp_path: Path) -> None:
    (tmp_path / "etc/nginx/sites").mkdir(parents=True)
    (tmp_path / "etc/nginx/nginx.conf").write_text("http { include sites/*; }\ninclude nginx.conf;")
    (tmp_path / "etc/nginx/sites/shop").write_text("server { root /srv/shop; }")
    (tmp_path / "etc/apache2/sites-enabled").mkdir(parents=True)
    (tmp_path / "etc/apache2/apache2.conf").write_text("IncludeOptional sites-enabled/*.conf\n")
    (tmp_path / "etc/apache2/sites-enabled/a.conf").write_text("\nDocumentRoot /srv/a\n")
    found = web_lines(Root(str(tmp_path)))
    assert [(line.value, str(line.place)) for line in found] == [
        ("/srv/shop", "/etc/nginx/sites/shop:1"),
        ("/srv/a", "/etc/apache2/sites-enabled/a.conf:2"),
    ]


def test_who_may_write(tmp_path: Path) -> None:
    owner = Owner("a", 1000, 1000)
    for mode, uid, gid, may in (
        (0o700, 1000, 0, True), (0o700, 0, 1000, False), (0o730, 0, 1000, True), (0o707, 0, 1000, False),
        (0o703, 0, 0, True), (0o702, 0, 0, False), (0o755, 1000, 0, True), (0o577, 1000, 1000, False),
    ):  # fmt: skip
        found = os.stat_result((mode, 0, 0, 0, uid, gid, 0, 0, 0, 0))
        assert may_write(found, owner) is may, oct(mode)
    assert may_write(os.stat_result((0, 0, 0, 0, 5, 5, 0, 0, 0, 0)), Owner("root", 0, 0))


def test_directories_above_count(tmp_path: Path) -> None:
    (tmp_path / "etc/private").mkdir(parents=True)
    for name in ("etc/open.ini", "etc/private/closed.ini"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o644)
    for directory, mode in (("", 0o755), ("etc", 0o755), ("etc/private", 0o750)):
        (tmp_path / directory).chmod(mode)
    root = Root(str(tmp_path))
    modes = file_modes(root, ("/etc/open.ini", "/etc/private/closed.ini", "/none"))
    assert {path: oct(mode.mode) for path, mode in modes.items()} == {
        "/etc/open.ini": "0o644", "/etc/private/closed.ini": "0o640"
    }  # fmt: skip
    closed = "/etc/private/closed.ini"
    group = (tmp_path / "etc/private").stat().st_gid
    assert reaches(root, closed, Owner("of the group", 12345, group))
    assert not reaches(root, closed, Owner("another", 12345, 12345))
    assert reaches(root, closed, Owner("root", 0, 0))
    assert not reaches(root, closed, EVERYBODY)


PIECES = [
    "off", "None", "On", "TRUE", "null", '"Off"', '"a" "b"', 'a"b"', '"a"b ; c', "'a;b' ; c", "a b ; c", '"${HOME}/x"',
    "'${HOME}'", "${HOME}/${NOWHERE}", '"it\\"s"', '"c:\\\\dir"', "pre'q'", '"two\nlines"', 'trigger ; "', "v\r\ny.b = 2",
    "v\ry.b = 2", "http://a/b?c",
]  # fmt: skip


@pytest.mark.parametrize("value", PIECES)
def test_php_understands_a_value_as_we_do(tmp_path: Path, value: str) -> None:
    file = tmp_path / "x.ini"
    file.write_bytes(f"\ufeff[x] x.a = {value}".encode())
    code = "echo json_encode(parse_ini_string(file_get_contents($argv[1])));"
    environment = {"PATH": os.environ["PATH"], "HOME": "/home/x"}
    said = subprocess.run(
        ["php", "-n", "-r", code, "--", file], env=environment, capture_output=True, check=True
    ).stdout.decode()
    assert {d.name: d.value for d in parse_ini(file.read_bytes().decode(), "f", environment)} == json.loads(said)


def test_hostile_quotes_are_read_in_linear_time(tmp_path: Path) -> None:
    """1 MiB took a minute, or hours; the suite's own time limit is what would tell."""
    assert len(parse_ini('a = "\n' + ("x" * 50 + "\n") * 20_000, "f")) == 1
    escaped = 'root "' + '\\"' * 500_000
    for parse in (nginx_lines, apache_lines):
        assert parse(escaped, "f")[1] == ()


def test_pools_of_the_official_image(tmp_path: Path) -> None:
    """Its include is relative to the prefix of the build, one directory above the file."""
    (tmp_path / "etc/php-fpm.d").mkdir(parents=True)
    main = tmp_path / "etc/php-fpm.conf"
    main.write_text("[global]\ninclude=etc/php-fpm.d/*.conf\n")
    (tmp_path / "etc/php-fpm.d/www.conf").write_text(
        "[www]\nphp_admin_value[xdebug.output_dir] = /p/$pool\nphp_admin_value[xdebug.trigger_value] = ${SECRET}\n"
    )
    lines, _ = read_fpm(Root(), str(main), {"SECRET": "from outside"})
    assert [(d.value, d.pool) for d in php_settings(lines)] == [("/p/www", "www"), ("from outside", "www")]


def test_asking_php_leaves_its_log_alone(tmp_path: Path) -> None:
    log = tmp_path / "php.log"
    ini = tmp_path / "php.ini"
    ini.write_text(f"error_log = {log}\nlog_errors = On\nextension = nowhere_to_be_found\n")
    told = ask(("php", "-c", str(ini)), {"PATH": os.environ["PATH"], "PHP_INI_SCAN_DIR": ""}, None, None)
    assert not isinstance(told, str)
    assert told.files == (str(ini),)
    assert not log.exists()


def test_the_environment_on_a_heap() -> None:
    """Whatever an ini file may name in ${NAME}."""
    heap = b"\0\0SHOP_LIMIT=64M\0x\0XDEBUG_MODE=off\0LD_PRELOAD=/x.so\0no variable\0"
    assert read_heap(heap, 0).environment == {"SHOP_LIMIT": "64M", "XDEBUG_MODE": "off"}
