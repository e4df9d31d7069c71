"""Which Python a command line runs."""

import os
import sys
from pathlib import Path

import pytest

from adapters.python.interpreter import Command, ask, python_flags, resolve


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        ("app.py -E", ""),
        ("-E app.py", "E"),
        ("-IB app.py", "IB"),
        ("-m gunicorn -E", ""),
        ("-mgunicorn -E", ""),
        ("-Bc code -I", "B"),
        ("-W error -E app.py", "E"),
        ("-Werror -E app.py", "E"),
        ("-X dev -S app.py", "S"),
        ("-BX dev -S app.py", "BS"),
        ("--check-hash-based-pycs always -S app.py", "S"),
        ("-- -E", ""),
        ("- -E", ""),
        ("", ""),
    ],
)
def test_flags_stand_before_the_program(words: str, flags: str) -> None:
    assert python_flags(words.split()) == flags


def script(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_an_interpreter_is_taken_at_its_name() -> None:
    found = resolve([sys.executable, "-I", "x.py"], os.environ, None)
    assert found == Command(sys.executable, "python", (sys.executable,), "I")


@pytest.mark.parametrize(
    ("head", "interpreter", "flags"),
    [
        ("#!{python}\n", "{python}", ""),
        ("#!{python} -E\n", "{python}", "E"),
        ("#! /usr/bin/env {python}\n", "{python}", ""),
        ("#!/usr/bin/env -S {python} -I\n", "{python}", "I"),
        ("#!/bin/sh\n'''exec' {python} \"$0\" \"$@\"\n' '''\n", "{python}", ""),
        ("#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n", "{python}", ""),
    ],
)
def test_a_script_names_its_interpreter(tmp_path: Path, head: str, interpreter: str, flags: str) -> None:
    python = sys.executable
    path = script(tmp_path / "server", head.format(python=python) + "import app\n")
    assert resolve([path, "x"], os.environ, None) == Command(
        path, "python", (interpreter.format(python=python),), flags
    )


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("run.sh", "#!/bin/sh\nexec python app.py\n", "other"),
        ("frozen", "\x7fELF", "other"),
        ("app.pex", "#!/usr/bin/env python3\nPK", "pex"),
        ("app", "#!/usr/bin/env python3\nPK\x03\x04 PEX-INFO", "pex"),
        ("one-file", "\x7fELF" + "x" * 9000 + "MEI\x0c\x0b\x0a\x0b\x0e" + "x" * 80, "frozen"),  # PyInstaller's cookie
    ],
)
def test_what_is_not_plain_python(tmp_path: Path, name: str, text: str, kind: str) -> None:
    found = resolve([script(tmp_path / name, text)], os.environ, None)
    assert found.kind == kind
    assert found.interpreter == ()


def test_uwsgi_says_itself_that_it_leaves_site_out(tmp_path: Path) -> None:
    program = script(tmp_path / "uwsgi-core", "\x7fELF")
    assert resolve([program, "--no-site"], os.environ, None).kind == "no-site"
    assert resolve([program, "--master"], os.environ, None).kind == "other"


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("sudo -u www python app.py", "wiped-env"),
        ("/usr/bin/sudo -E python app.py", "wiped-env"),
        ("doas python app.py", "wiped-env"),
        ("env A=1 su - www -c python", "wiped-env"),
        ("su -l www", "wiped-env"),
        ("runuser --login www", "wiped-env"),
        ("su www -c true", "other"),
    ],
)
def test_programs_that_change_the_user_and_the_environment(words: str, kind: str, tmp_path: Path) -> None:
    for name in ("su", "sudo", "doas", "runuser"):
        script(tmp_path / name, "\x7fELF")
    assert resolve(words.split(), {"PATH": str(tmp_path)}, None).kind == kind


@pytest.mark.parametrize(
    ("head", "words", "before", "arguments"),
    [
        (None, "{python} -I x.py y", "", "-I x.py y"),
        (None, "env A=1 {python} -I x.py", "env A=1", "-I x.py"),
        ("#!{python} -E\n", "{script} y", "", "-E {script} y"),
        ("#!/usr/bin/env -S {python} -I -B\n", "env {script} y", "env", "-I -B {script} y"),
        ("#!/bin/sh\n'''exec' {python} \"$0\" \"$@\"\n' '''\n", "{script}", "", "{script}"),
    ],
)
def test_the_same_command_without_the_scripts_first_line(
    tmp_path: Path, head: str | None, words: str, before: str, arguments: str
) -> None:
    names = {"python": sys.executable, "script": str(tmp_path / "serve")}
    if head is not None:
        script(tmp_path / "serve", head.format(**names))
    found = resolve(words.format(**names).split(), os.environ, None)
    assert found.interpreter == (sys.executable,)
    assert found.before == tuple(before.format(**names).split())
    assert found.arguments == tuple(arguments.format(**names).split())


def test_relative_names_belong_to_the_plans_directory(tmp_path: Path) -> None:
    script(tmp_path / "serve", f"#!{sys.executable}\n")
    assert resolve(["./serve"], os.environ, tmp_path).kind == "python"
    assert resolve(["./serve"], os.environ, tmp_path / "elsewhere").kind == "missing"


def test_env_is_looked_through() -> None:
    assert resolve(["env", "A=1", sys.executable, "-S"], os.environ, None).flags == "S"
    assert resolve(["/usr/bin/env", "-i", sys.executable], os.environ, None).kind == "wiped-env"
    assert resolve(["env"], os.environ, None).kind == "missing"
    assert resolve([], os.environ, None).kind == "missing"


def test_the_path_is_the_plans() -> None:
    name = Path(sys.executable).name
    assert resolve([name], {"PATH": str(Path(sys.executable).parent)}, None).path == sys.executable
    assert resolve([name], {"PATH": "/nowhere"}, None).kind == "missing"


def test_an_interpreter_says_what_it_is() -> None:
    said = ask(Command(sys.executable, "python", (sys.executable,)), os.environ)
    assert said is not None
    assert said.version == sys.version_info[:3]
    assert said.cache_tag == sys.implementation.cache_tag
    assert not said.free_threaded


def test_what_does_not_answer_properly_is_unknown(tmp_path: Path) -> None:
    for text in ("#!/bin/sh\necho nonsense\n", "#!/bin/sh\nexit 3\n", '#!/bin/sh\necho \'[[1,2],"x","y","z"]\'\n'):
        path = script(tmp_path / "python3", text)
        assert ask(Command(path, "python", (path,)), os.environ) is None
    assert ask(Command("x", "python", (str(tmp_path / "none"),)), os.environ) is None
    assert ask(Command("x", "other"), os.environ) is None
