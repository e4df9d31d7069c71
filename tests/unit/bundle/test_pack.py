"""A run packed and opened again: the same verdict, names replaced, and an account of what was taken out."""

from __future__ import annotations

import dataclasses
import json
import re
import sqlite3
import zipfile
from pathlib import Path

import pytest
from reports import object_profile
from stored_runs import record
from timelines import App, simulate, six

from harness.analysis.pipeline import analyse
from harness.bundle import container
from harness.bundle.contents import contents_of, lines
from harness.bundle.pack import Wanted, file_name, pack
from harness.bundle.unpack import unpacked
from harness.errors import RunError, UsageError
from harness.fleet.tables import fleet_run
from harness.model.host import LOCAL, RunHost
from harness.model.profile import Artifact, ArtifactStatus
from harness.plugins.registry import load_run_exports
from harness.report import words
from harness.report.formats import export
from harness.store.profile_json import FORMAT, MARK, dump_profile
from harness.store.reader import read_run
from harness.store.writer import Recorder

LEAKS = App(endpoints=six(cart_add={"leak_bytes": 20_480}), requests=300, blocks=6, with_blocks=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw = simulate(LEAKS)
    scenario = {
        **raw.manifest.scenario,
        "description": "of gravel-harvest",
        "target": {
            "runtime": "python",
            "launch": [{"run": "gunicorn acme:app --token tundra-1", "env": {"MALLOC_ARENA_MAX": "2"}}],
        },
        "requests": [{"name": "cart_add", "post": "/cart/add?x=1", "weight": 2, "form": {"email": "wombat@acme.example"}}],
    }  # fmt: skip
    manifest = dataclasses.replace(raw.manifest, scenario=scenario, host={**raw.manifest.host, "node": "acme-db-7"})
    return record(dataclasses.replace(raw, manifest=manifest), tmp_path_factory.mktemp("runs"))


def packed(run: Path, tmp_path: Path, **wanted: bool) -> Path:
    pack(run, tmp_path / "b.zip", Wanted(**wanted), {})
    return tmp_path / "b.zip"


def test_it_is_judged_the_same(run: Path, tmp_path: Path) -> None:
    ours = analyse(run)
    with unpacked(packed(run, tmp_path)) as directory:
        theirs = analyse(directory)
        assert directory.stat().st_mode & 0o777 == 0o700
    assert not directory.exists()
    assert theirs.verdict == ours.verdict
    assert list(theirs.findings) == list(ours.findings)
    assert theirs.endpoints == ours.endpoints
    assert {m.signal for m in theirs.missing} - {m.signal for m in ours.missing} == {"bundle"}
    assert list(theirs.ledger) == list(ours.ledger)


def test_what_is_not_in_it(run: Path, tmp_path: Path) -> None:
    path = packed(run, tmp_path)
    with zipfile.ZipFile(path) as archive:
        everything = b"".join(archive.read(name) for name in archive.namelist())
    for text in (b"gravel", b"tundra", b"wombat", b"acme"):
        assert text not in everything
    with unpacked(path) as directory:
        manifest = read_run(directory).manifest
    assert manifest.host["node"] == "host-1"
    [request] = manifest.scenario["requests"]  # type: ignore[misc]
    assert request == {"name": "cart_add", "post": "/cart/add", "weight": 2}
    target = manifest.scenario["target"]
    assert target["launch"][0]["env"] == {"MALLOC_ARENA_MAX": "2"}  # type: ignore[index]
    assert target["launch"][0]["run"].startswith("gunicorn arg-")  # type: ignore[index]


def test_the_manifest_tells(run: Path, tmp_path: Path) -> None:
    path = packed(run, tmp_path)
    contents = contents_of(path)
    assert set(contents.members) == {"run.sqlite"}
    assert contents.replaced["host"] >= 1
    assert contents.replaced["sent value of a request"] == 1
    shown = "\n".join(lines(contents))
    assert "run.sqlite" in shown
    assert "host" in shown
    assert "wombat" not in shown


def test_the_same_run_gives_the_same_bytes_and_the_same_name(run: Path, tmp_path: Path) -> None:
    first = packed(run, tmp_path).read_bytes()
    (tmp_path / "b.zip").unlink()
    assert packed(run, tmp_path).read_bytes() == first
    assert file_name(run, {}) == f"{contents_of(tmp_path / 'b.zip').run}.harness.zip"


def with_artifacts(tmp_path: Path) -> Path:
    run = record(simulate(App(requests=30, blocks=1, rounds=1, warmup=0)), tmp_path)
    (run / "artifacts" / "a.json").write_bytes(dump_profile(object_profile()))
    (run / "artifacts" / "target-app.log").write_text("ready at /home/ada/x\nValueError: wombat\n")
    (run / "prescriptions" / "000").mkdir(parents=True)
    (run / "prescriptions" / "000" / "own.yaml").write_text("rules: []\n")
    recorder = Recorder(run, existing=True)
    base = Artifact(
        "objgraph",
        "python",
        "artifacts/a.json",
        ArtifactStatus.COMPLETE,
        None,
        "home",
        None,
        1,
        None,
        "",
        {MARK: FORMAT},
    )
    recorder.artifact(base)
    recorder.artifact(dataclasses.replace(base, attributes={"opens_with": "KCachegrind"}))
    recorder.artifact(dataclasses.replace(base, path="artifacts/gone.json"))
    recorder.close()
    return run


def test_profiles_are_kept_as_what_was_read_from_them(tmp_path: Path) -> None:
    run = with_artifacts(tmp_path)
    path = packed(run, tmp_path)
    ours, theirs = analyse(run), None
    with unpacked(path) as directory:
        theirs = analyse(directory)
    kept = [view for view in theirs.profiles if view.profile is not None]
    assert [view.artifact.tool for view in kept] == ["objgraph"]
    assert kept[0].profile is not None
    original = next(view.profile for view in ours.profiles if view.profile is not None)
    assert [group.values for group in kept[0].profile.objects] == [group.values for group in original.objects]
    assert [view.artifact.path for view in theirs.profiles if view.profile is None] == [None, None, None]
    left_out = contents_of(path).left_out
    assert left_out["file of a profiler"] == 2
    assert left_out["file that could not be read"] == 1
    assert left_out["log of the target"] == 1
    assert left_out["rule of your own"] == 1


def test_what_is_asked_for_comes_along(tmp_path: Path) -> None:
    run = with_artifacts(tmp_path)
    path = packed(run, tmp_path, logs=True, rules=True, source=True)
    with zipfile.ZipFile(path) as archive:
        assert archive.read("logs/log-1.txt") == b"ready at /home/user-1/x\nValueError: \xe2\x80\xa6\n"
        assert archive.read("prescriptions/000/000.yaml") == b"rules: []\n"
    with unpacked(path) as directory:
        assert (directory / "prescriptions" / "000" / "000.yaml").is_file()
    assert contents_of(path).kept == ("source lines", "logs of the target, redacted", "rules, as they are")


def test_values_of_the_environment_are_known(tmp_path: Path) -> None:
    raw = simulate(App(requests=30, blocks=1, rounds=1, warmup=0))
    manifest = dataclasses.replace(
        raw.manifest,
        scenario={**raw.manifest.scenario, "requests": [{"name": "home", "get": "/", "form": {"p": "${SHOP_PW}"}}]},
        status_text="said velvet saddle\n  its last output:\ngravel of ada",
    )
    run = record(dataclasses.replace(raw, manifest=manifest), tmp_path)
    pack(run, tmp_path / "b.zip", Wanted(), {"SHOP_PW": "velvet saddle"})
    with unpacked(tmp_path / "b.zip") as directory:
        assert read_run(directory).manifest.status_text == "said value-1"


def test_whoever_has_no_name_and_no_home_can_pack(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may run as a user id that no list of users has."""

    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", unknown)
    for name in ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    assert packed(run, tmp_path).is_file()


def test_however_much_was_sent_hosts_and_variables_are_known(tmp_path: Path) -> None:
    raw = simulate(App(requests=30, blocks=1, rounds=1, warmup=0))
    form = {f"field{number}": f"sent words {number}" for number in range(6_000)}
    scenario = {
        **raw.manifest.scenario,
        "target": {"env": {"SHOP_PLACE": "Harvest Of Gravel"}},
        "requests": [{"name": "home", "get": "/", "form": form}],
    }
    manifest = dataclasses.replace(
        raw.manifest,
        scenario=scenario,
        host={**raw.manifest.host, "node": "wombatbox"},
        status_text="wombatbox and Harvest Of Gravel do not answer",
    )
    run = record(dataclasses.replace(raw, manifest=manifest), tmp_path)
    with unpacked(packed(run, tmp_path)) as directory:
        told = read_run(directory).manifest.status_text
    assert re.fullmatch(r"host-1 and value-\d+ do not answer", told)


def test_a_host_is_known_by_its_short_name_and_its_domain_too(tmp_path: Path) -> None:
    raw = simulate(App(requests=30, blocks=1, rounds=1, warmup=0))
    manifest = dataclasses.replace(
        raw.manifest,
        host={**raw.manifest.host, "node": "wombatbox.gravel.museum"},
        status_text="wombatbox.gravel.museum, wombatbox and api.gravel.museum do not answer",
    )
    run = record(dataclasses.replace(raw, manifest=manifest), tmp_path)
    with unpacked(packed(run, tmp_path)) as directory:
        told = read_run(directory).manifest.status_text
    assert re.fullmatch(r"host-\d, host-\d and api.host-\d do not answer", told)


def test_of_a_long_log_no_half_line_is_packed(tmp_path: Path) -> None:
    """What is cut in two does not look like a secret."""
    run = with_artifacts(tmp_path)
    rest = "x y\n" * ((1 << 18) - 2)  # with the end of the line before, a MiB
    (run / "artifacts" / "target-app.log").write_text(f"password=velvet wombat gravel\n{rest}")
    with zipfile.ZipFile(packed(run, tmp_path, logs=True)) as archive:
        assert set(archive.read("logs/log-1.txt").splitlines()) == {b"x y"}


def test_errors_say_what_to_do(run: Path, tmp_path: Path) -> None:
    packed(run, tmp_path)
    with pytest.raises(UsageError, match="is there already"):
        packed(run, tmp_path)
    with pytest.raises(UsageError, match="cannot write"):
        pack(run, tmp_path / "no" / "b.zip", Wanted(), {})
    with pytest.raises(RunError, match="not a run"):
        pack(tmp_path, tmp_path / "c.zip", Wanted(), {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.zip"]


def test_a_run_that_is_being_recorded_is_not_packed(tmp_path: Path) -> None:
    run = record(simulate(App(requests=30, blocks=1, rounds=1, warmup=0)), tmp_path)
    recorder = Recorder(run, existing=True)
    with pytest.raises(RunError, match="still being recorded"):
        packed(run, tmp_path)
    recorder.close()


# -- bundles from elsewhere ---------------------------------------------------------------------------------------------


def rebuilt(path: Path, target: Path, change: str) -> Path:
    """The same bundle after a change to its database, with a manifest that fits."""
    with unpacked(path) as directory:
        database = (directory / "run.sqlite").read_bytes()
    copy = target.with_suffix(".sqlite")
    copy.write_bytes(database)
    with sqlite3.connect(copy) as db:
        db.executescript(change)
    db.close()
    size, sha = container.digest(copy)
    document = json.loads(container.read_manifest(path))
    document["members"] = {"run.sqlite": {"size_bytes": size, "sha256": sha, "what": ""}}
    container.write(target, [("manifest.json", json.dumps(document).encode()), ("run.sqlite", copy)])
    return target


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE more (x)",
        "UPDATE meta SET value = '[' WHERE key = 'scenario'",
        "UPDATE meta SET value = '3' WHERE key = 'host'",
        "UPDATE meta SET value = 'soon' WHERE key = 'status'",
        "UPDATE meta SET value = '{\"page_size\": [1]}' WHERE key = 'facts'",
        'UPDATE meta SET value = \'{"requests": {"a": 1}, "target": "x", "expect": 5, "load": 5}\' WHERE key = \'scenario\'',
        "UPDATE meta SET value = '{\"sampler_cpu_percent\": \"x\"}' WHERE key = 'costs'",
        "DELETE FROM process",
        "UPDATE event SET attributes = '[]'",
        'UPDATE record SET data = \'{"rss_end_bytes": "x"}\'',
        "UPDATE record SET data = '{\"rss_end_bytes\": 1e400}'",
        "UPDATE record SET data = '[]'",
        "DELETE FROM tick",
        "UPDATE span SET end_ns = -1",
        "UPDATE chunk SET width = 99",
        "UPDATE artifact SET path = '../../etc/passwd', attributes = '{\"kept_as\": \"harness-profile/1\"}', status = 'complete'",
    ],
)
def test_a_changed_database_never_ends_in_a_traceback(run: Path, tmp_path: Path, change: str) -> None:
    path = rebuilt(packed(run, tmp_path), tmp_path / "changed.zip", change)
    try:
        with unpacked(path) as directory:
            report = analyse(directory)
    except RunError:
        return
    for name in ("text", "html", "json", "md", "junit"):
        assert export(report, name)
    for each in load_run_exports():
        assert all(b"".join(part.pieces) for part in each.parts(report))
    assert all(view.profile is None for view in report.profiles)


@pytest.mark.parametrize(
    "change",
    [
        f"UPDATE meta SET value = '{10**40}' WHERE key = 'started_wall_ns'",
        f"UPDATE meta SET value = '-{2**63 - 1}' WHERE key = 'started_ns'",
        f"UPDATE tick SET t_ns = {2**63 - 1} - id",
        f"UPDATE span SET start_ns = -{2**63}",
        "UPDATE meta SET value = '' WHERE key = 'started_ns'",
    ],
)
def test_times_that_no_clock_shows_are_refused(run: Path, tmp_path: Path, change: str) -> None:
    """Exports add and subtract them as numbers of 64 bits."""
    path = rebuilt(packed(run, tmp_path), tmp_path / "changed.zip", change)
    with pytest.raises(RunError, match=r"changed.zip: a time in it is none"), unpacked(path):
        pass


def test_an_error_about_a_database_from_elsewhere_is_one_line_without_escapes(run: Path, tmp_path: Path) -> None:
    """On GitHub a line that begins with two colons is a command; sqlite quotes the names it finds."""
    change = """PRAGMA writable_schema=ON;
        UPDATE sqlite_master SET name = char(10) || '::error::x' || char(27), sql = 'CREATE x' WHERE name = 'boot'"""
    path = rebuilt(packed(run, tmp_path), tmp_path / "changed.zip", change)
    with pytest.raises(RunError, match="is damaged: ") as raised, unpacked(path):
        pass
    assert "::error::x" in raised.value.message
    assert raised.value.message.isprintable()


def test_errors_of_a_bundle_name_its_file(run: Path, tmp_path: Path) -> None:
    path = rebuilt(packed(run, tmp_path), tmp_path / "changed.zip", "DELETE FROM meta WHERE key = 'host'")
    with pytest.raises(RunError, match=r"changed.zip: unreadable run: 'host'"), unpacked(path) as directory:
        analyse(directory)


def test_a_manifest_of_another_shape_or_version(tmp_path: Path) -> None:
    for number, manifest in enumerate((b"", b"[]", b"{}", b"\xff", b"[" * 50_000)):
        path = tmp_path / f"{number}.zip"
        container.write(path, [("manifest.json", manifest)])
        with pytest.raises(RunError, match="cannot be understood"):
            contents_of(path)
    document = {
        "format": "harness-bundle/9",
        "tool_version": "9",
        "run": "x",
        "members": {},
        "replaced": {},
        "left_out": {},
    }
    container.write(tmp_path / "new.zip", [("manifest.json", json.dumps(document).encode())])
    with pytest.raises(RunError, match="its format is not"):
        contents_of(tmp_path / "new.zip")
    document["format"] = "harness-bundle/1"
    container.write(tmp_path / "empty.zip", [("manifest.json", json.dumps(document).encode())])
    with pytest.raises(RunError, match="no recording"), unpacked(tmp_path / "empty.zip"):
        pass


@pytest.mark.parametrize("version", ["1.4.2", "3f98448d383871a1b698e437b40eaa0c1d45cebc", "v1.2-3-g3f98448-dirty"])
def test_the_version_of_the_application_is_in_it_also_where_it_is_a_commit(tmp_path: Path, version: str) -> None:
    raw = simulate(dataclasses.replace(LEAKS, rounds=2))
    scenario = {**raw.manifest.scenario, "version": version}
    facts = {"kernel": "6.1", "node": "shop-web-1"}
    hosts = (
        RunHost("shop-web-1", "ssh://deploy@shop-web-1", "web", True, True, 5, version, facts),
        RunHost("laptop-7", LOCAL, "cron", False, False, 0),
    )
    there = record(
        dataclasses.replace(raw, manifest=dataclasses.replace(raw.manifest, scenario=scenario)), tmp_path / "runs"
    )
    recorder = Recorder(there, existing=True)
    recorder.hosts(hosts)
    recorder.close()
    with unpacked(packed(there, tmp_path)) as directory:
        report = analyse(directory)
        manifest = read_run(directory).manifest
    assert words.version(report.timeline.manifest) == version
    assert fleet_run(report).partition.version == version
    host, here = manifest.hosts
    assert (host.version, host.offset_ns, host.place) == (version, 5, "")
    assert (here.place, here.version) == (LOCAL, ""), "whose clock is the one that all times are on"
    assert "shop-web-1" not in str(host)
    assert "laptop-7" not in str(here)
