"""Calls as jobs: what may be patched, who is recorded, which runs an armed tool gets."""

import asyncio
import functools
import inspect
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from adapters.python.agent import jobs, middleware, patches
from adapters.python.agent.recorder import Recorder

SOURCE = """
import functools

def plain(a, b=2, *, c=3):
    "What it does."
    return a, b, c

plain.queue = "mail"

async def later(a):
    return a

def numbers():
    yield 1

async def many():
    yield 1

class Base:
    def run(self, x):
        return "ran", x

class Task(Base):
    @staticmethod
    def check(x):
        return x

    @classmethod
    def make(cls):
        return cls

    class Inner:
        def deep(self):
            return self

partial = functools.partial(plain, 1)
cached = functools.lru_cache(plain)
"""


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    path = tmp_path / "records"
    path.touch()
    made = Recorder(str(path))
    before, middleware.recorder = middleware.recorder, made
    yield made
    patches.restore()
    made.close()
    middleware.recorder = before


@pytest.fixture
def module() -> Any:
    made = ModuleType("job_module")
    exec(SOURCE, made.__dict__)
    return made


def names(recorder: Recorder) -> list[str]:
    return [json.loads(line)["name"] for line in Path(recorder.path).read_text().splitlines()]


def test_a_patched_function_looks_like_the_one_it_stands_for(recorder: Recorder, module: Any) -> None:
    original = module.plain
    jobs.patch(module, "job_module:plain")
    assert module.plain is not original
    assert module.plain(1, c=4) == (1, 2, 4)
    assert (module.plain.__name__, module.plain.__doc__, module.plain.queue) == ("plain", "What it does.", "mail")
    assert inspect.signature(module.plain) == inspect.signature(original)
    assert names(recorder) == ["job_module:plain"]


def test_methods_of_every_kind(recorder: Recorder, module: Any) -> None:
    for spec in ("Task.check", "Task.make", "Task.run", "Task.Inner.deep"):
        jobs.patch(module, f"m:{spec}")
    assert module.Task.check(3) == module.Task().check(3) == 3
    assert module.Task.make() is module.Task
    assert module.Task().run(1) == ("ran", 1)
    assert module.Base().run(1) == ("ran", 1)  # the class it was inherited from is not touched
    inner = module.Task.Inner()
    assert inner.deep() is inner
    assert names(recorder) == ["m:Task.check", "m:Task.check", "m:Task.make", "m:Task.run", "m:Task.Inner.deep"]


def test_a_coroutine_function_stays_one_and_is_recorded_at_its_end(recorder: Recorder, module: Any) -> None:
    jobs.patch(module, "m:later")
    assert inspect.iscoroutinefunction(module.later)
    waiting = module.later(5)
    assert names(recorder) == []
    assert asyncio.run(waiting) == 5
    assert names(recorder) == ["m:later"]


@pytest.mark.parametrize("name", ["numbers", "many", "partial", "cached"])
def test_what_is_no_function_is_left_alone_and_told(
    recorder: Recorder, module: Any, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    before = getattr(module, name)
    jobs.patch(module, f"m:{name}")
    assert getattr(module, name) is before
    assert f"harness agent: job m:{name} is not recorded" in capfd.readouterr().err


def test_a_name_that_is_not_there(recorder: Recorder, module: Any, capfd: pytest.CaptureFixture[str]) -> None:
    for spec in ("m:nothing", "m:Task.nothing", "m:nothing.run"):
        with pytest.raises(AttributeError):
            jobs.patch(module, spec)
    jobs.hooks(["m:nothing", "m:plain"])["m"](module)  # one that is not there does not cost the others
    assert module.plain(1)
    assert names(recorder) == ["m:plain"]
    assert "m:nothing is not recorded" in capfd.readouterr().err


def test_an_error_of_the_job_passes_and_ends_the_record(recorder: Recorder) -> None:
    def fail() -> None:
        raise KeyError("as ordered")

    with pytest.raises(KeyError):
        jobs.call("m:fail", fail, (), {})
    assert names(recorder) == ["m:fail"]
    assert recorder.active == {}


def test_an_agent_that_has_left_calls_through(recorder: Recorder, module: Any) -> None:
    jobs.patch(module, "m:plain")
    held = module.plain
    recorder.close()
    assert held(1) == (1, 2, 3)
    assert Path(recorder.path).read_text() == ""


def test_patches_are_taken_back_and_others_stay(recorder: Recorder, module: Any) -> None:
    plain, make, run = module.plain, module.Task.__dict__["make"], module.Base.run
    for spec in ("plain", "Task.make", "Task.run", "later"):
        jobs.patch(module, f"m:{spec}")
    module.later = ours = functools.wraps(module.later)(lambda a: a)  # somebody patched it after us
    patches.restore()
    assert module.plain is plain
    assert module.Task.__dict__["make"] is make
    assert "run" not in module.Task.__dict__
    assert module.Task.run is run
    assert module.later is ours


def test_a_patched_function_of_a_module_can_be_pickled(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    import textwrap

    monkeypatch.setattr(textwrap, "indent", textwrap.indent)
    jobs.patch(textwrap, "textwrap:indent")
    assert pickle.loads(pickle.dumps(textwrap.indent)) is textwrap.indent


def test_an_armed_tool_gets_each_kind_of_job_twice() -> None:
    armed: Any = SimpleNamespace(armed=("tracemalloc frames=3", {}))
    got = [jobs.claim(armed, name) for name in ("a", "b", "a", "a", "b", "b", "a")]
    words = "tracemalloc frames=3"
    assert got == [words, words, words, None, words, None, None]
    assert jobs.claim(SimpleNamespace(armed=None), "a") is None


def test_kinds_of_jobs_are_not_counted_without_end() -> None:
    armed: Any = SimpleNamespace(armed=("tracemalloc", {}))
    got = [jobs.claim(armed, f"job {number}") for number in range(100)]
    assert got.count("tracemalloc") == len(armed.armed[1]) == 32


def test_the_script_has_the_names_it_was_run_by() -> None:
    spec = SimpleNamespace(name="shop.worker.__main__")
    assert jobs._main_names(SimpleNamespace(__spec__=spec)) == {"__main__", "shop.worker.__main__", "shop.worker"}
    assert jobs._main_names(SimpleNamespace(__spec__=None, __file__="/srv/worker.py")) == {"__main__", "worker"}
    assert jobs._main_names(SimpleNamespace()) == {"__main__", ""}
