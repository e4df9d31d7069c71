"""Patching modules at import, without leaving traces in how they were imported."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from adapters.python.agent.hooks import HOOKS, HookFinder, _wrap_attribute, _wrap_result, _wsgi_class
from adapters.python.agent.middleware import Application

MODULE = "hooked_on_import"
SOURCE = """
import sys
LOADER_DURING_BODY = type(__loader__).__name__
SPEC_LOADER_DURING_BODY = type(__spec__.loader).__name__
HOOKED = False
"""


@pytest.fixture
def module_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / f"{MODULE}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    yield tmp_path
    sys.modules.pop(MODULE, None)


def mark(module: ModuleType) -> None:
    module.HOOKED = True  # type: ignore[attr-defined]  # set on purpose


def test_a_module_is_hooked_after_its_body_and_sees_its_own_loader(module_dir: Path) -> None:
    finder = HookFinder({MODULE: mark})
    finder.install()
    assert sys.meta_path[0] is finder
    module = importlib.import_module(MODULE)
    assert module.HOOKED is True
    assert module.LOADER_DURING_BODY == module.SPEC_LOADER_DURING_BODY == "SourceFileLoader"
    assert module.__spec__ is not None
    assert type(module.__spec__.loader).__name__ == "SourceFileLoader"
    assert finder not in sys.meta_path  # nothing left to wait for


def test_a_module_that_is_there_already_is_hooked_at_once(module_dir: Path) -> None:
    module = importlib.import_module(MODULE)
    HookFinder({MODULE: mark}).install()
    assert module.HOOKED is True


def test_other_names_are_none_of_its_business(module_dir: Path) -> None:
    finder = HookFinder({"never_imported": mark})
    assert finder.find_spec(MODULE) is None
    assert finder.find_spec("never_imported") is None


def test_a_failing_hook_is_told_and_the_import_succeeds(module_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def failing(module: ModuleType) -> None:
        raise AttributeError("moved elsewhere")

    HookFinder({MODULE: failing}).install()
    assert importlib.import_module(MODULE).HOOKED is False
    assert "harness agent: no hook in" in capfd.readouterr().err


def test_an_import_error_of_the_module_stays_its_own(module_dir: Path) -> None:
    (module_dir / f"{MODULE}.py").write_text("raise ImportError('mine')\n")
    HookFinder({MODULE: mark}).install()
    with pytest.raises(ImportError, match="mine"):
        importlib.import_module(MODULE)


def test_patched_methods_keep_their_names() -> None:
    class Server:
        def load(self, app: object) -> object:
            """Its documentation."""
            return app

        def set_app(self, app: object) -> None:
            self.application = app

    _wrap_result(Server, "load")
    _wrap_attribute(Server, "set_app", "application")
    assert Server.load.__doc__ == "Its documentation."
    assert Server.load.__qualname__.endswith("Server.load")
    app = lambda environ, start_response: []  # noqa: E731  (a plain callable, as servers get it)
    server = Server()
    assert isinstance(server.load(app), Application)
    server.set_app(app)
    assert isinstance(server.application, Application)
    once = server.application
    server.set_app(once)
    assert server.application is once


def test_a_class_hook_reaches_instances_that_exist_already(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    class Framework:
        def __call__(self, environ: dict[str, object], start_response: object) -> list[bytes]:
            return [b"own"]

    instance = Framework()

    def recorded(app: object, environ: dict[str, object], start_response: object) -> object:
        calls.append(environ)
        return app(environ, start_response)  # type: ignore[operator]  # it is callable

    monkeypatch.setattr("adapters.python.agent.hooks.call_wsgi", recorded)
    _wsgi_class(Framework)
    assert instance({"a": 1}, None) == [b"own"]
    assert calls == [{"a": 1}]


@pytest.mark.parametrize("name", ["gunicorn.app.base", "wsgiref.simple_server", "werkzeug.serving", "flask.app",
                                  "django.core.handlers.wsgi", "django.core.handlers.asgi"])  # fmt: skip
def test_what_the_hooks_patch_exists_in_the_installed_versions(name: str) -> None:
    """In a process of its own, because it patches for good."""
    program = (
        "import importlib, sys; from adapters.python.agent.hooks import HOOKS; "
        "HOOKS[sys.argv[1]](importlib.import_module(sys.argv[1]))"
    )
    import subprocess

    assert name in HOOKS
    root = Path(__file__).parents[4]
    done = subprocess.run(
        [sys.executable, "-c", program, name], cwd=root, capture_output=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
