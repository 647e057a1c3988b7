"""Run folders: ids, finding, files that are whole."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.errors import UsageError, WorkspaceError
from tracer_bullet.model import Check, Finding, RequestType, RunManifest, Severity, Verdict
from tracer_bullet.workspace.runs import (
    RunFolder,
    create_run,
    find_run,
    latest_run,
    new_run_id,
    read_json,
    runs_root,
    write_json,
    write_whole,
)

MANIFEST = RunManifest(
    run_id="r",
    kind="fire",
    scenario="s",
    scenario_file="s.yaml",
    target="t",
    target_url="http://h",
    production=False,
    request_type=RequestType.TRACE,
    bullets=1,
    concurrency=1,
    started_ns=1,
)


def make_run(workspace: Path, run_id: str, *, manifest_ns: int | None = None) -> RunFolder:
    folder = create_run(workspace, run_id)
    write_json(folder.manifest, MANIFEST)
    if manifest_ns is not None:
        os.utime(folder.manifest, ns=(manifest_ns, manifest_ns))
    return folder


def test_a_run_id_says_when() -> None:
    moment = int(datetime(2026, 11, 21, 6, 48, 12, tzinfo=UTC).timestamp()) * 10**9 + 999_999_999
    assert new_run_id(moment, random.Random(3)).startswith("20261121-064812-")


@given(st.lists(st.integers(0, 4_000_000_000), min_size=2, max_size=5), st.integers())
def test_run_ids_sort_by_time(seconds: list[int], seed: int) -> None:
    rng = random.Random(seed)
    ids = [new_run_id(s * 10**9, rng) for s in sorted(seconds)]
    assert [i[:15] for i in ids] == sorted(i[:15] for i in ids)
    assert all(len(i) == 22 for i in ids)


def test_the_layout(tmp_path: Path) -> None:
    folder = create_run(tmp_path, "20261121-064812-ab12cd")
    assert folder.path == tmp_path / ".tracer-bullet" / "runs" / "20261121-064812-ab12cd"
    assert folder.spans.is_dir()
    names = [p.name for p in (folder.manifest, folder.shots, folder.graph, folder.verdict, folder.report, folder.junit)]
    assert names == ["run.json", "shots.parquet", "graph.json", "verdict.json", "report.html", "junit.xml"]
    with pytest.raises(WorkspaceError, match="1 problem"):
        create_run(tmp_path, "20261121-064812-ab12cd")


def test_the_latest_run_has_a_manifest(tmp_path: Path) -> None:
    assert latest_run(tmp_path) is None
    first = make_run(tmp_path, "20261121-064812-ffffff")
    assert latest_run(tmp_path) == first
    create_run(tmp_path, "20261121-064813-000000")  # died before its manifest
    (runs_root(tmp_path) / "20991121-notes").mkdir()
    assert latest_run(tmp_path) == first
    second = make_run(tmp_path, "20261121-064814-000000")
    assert latest_run(tmp_path) == second


def test_runs_of_one_second_are_told_apart_by_their_manifests(tmp_path: Path) -> None:
    newer = make_run(tmp_path, "20261121-064812-000000", manifest_ns=2_000)
    make_run(tmp_path, "20261121-064812-ffffff", manifest_ns=1_000)
    assert latest_run(tmp_path) == newer


def test_a_run_is_found_by_id_beginning_path_and_latest(tmp_path: Path) -> None:
    run = make_run(tmp_path, "20261121-064812-ab12cd")
    make_run(tmp_path, "20261120-064812-ab12cd")
    for text in ("20261121-064812-ab12cd", "20261121", "latest", str(run.path), str(run.manifest)):
        assert find_run(tmp_path, text) == run, text


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        find_run(tmp_path, "latest")
    assert (caught.value.code, caught.value.cure) == ("TB103", "fire a scenario first")
    make_run(tmp_path, "20261121-064812-ab12cd")
    make_run(tmp_path, "20261121-064812-ffffff")
    with pytest.raises(UsageError) as caught:
        find_run(tmp_path, "20261121-064812-ab12ce")
    assert caught.value.cure == "did you mean '20261121-064812-ab12cd'?"
    with pytest.raises(UsageError) as caught:
        find_run(tmp_path, "20261121")
    assert caught.value.why.startswith("2 runs begin so: 20261121-064812-ab12cd, 2026")
    for text in ("", ".", "..", "x"):
        with pytest.raises(UsageError):
            find_run(tmp_path, text)


_text = st.text(max_size=8)
_manifests = st.builds(
    RunManifest,
    run_id=_text,
    kind=_text,
    scenario=_text,
    scenario_file=_text,
    target=_text,
    target_url=_text,
    production=st.booleans(),
    request_type=st.sampled_from(RequestType),
    bullets=st.integers(),
    concurrency=st.integers(),
    started_ns=st.integers(),
    ended_ns=st.none() | st.integers(),
    versions=st.dictionaries(_text, _text, max_size=3),
    state=_text,
)


@given(_manifests)
def test_a_manifest_is_read_back_as_written(tmp_path_factory: pytest.TempPathFactory, manifest: RunManifest) -> None:
    path = tmp_path_factory.mktemp("run") / "run.json"
    write_json(path, manifest)
    assert read_json(path, RunManifest) == manifest


def test_a_verdict_is_read_back_as_written(tmp_path: Path) -> None:
    from tracer_bullet.model import BulletVerdict, Outcome

    check = Check(name="status", passed=False, expected="2xx", actual="500", where="s.yaml:3", step="a")
    finding = Finding(rule="flag-lost", severity=Severity.GAP, message="\ud800 half")
    bullet = BulletVerdict(bullet=0, trace_id="a" * 32, outcome=Outcome.FAILED, checks=(check,), findings=(finding,))
    verdict = Verdict(run_id="r", scenario="s", outcome=Outcome.FAILED, bullets=(bullet,), findings=(finding,))
    write_json(tmp_path / "v.json", verdict)
    assert read_json(tmp_path / "v.json", Verdict) == verdict


@pytest.mark.parametrize(
    ("data", "line", "said"),
    [
        (b'{\n  "run_id": \n', 3, "no valid JSON"),
        (b"", 1, "no valid JSON"),
        (b"[]", 1, "not a RunManifest"),
        (b'{"run_id": 3}', 1, "run_id"),
        (b"\xff", 1, "UTF-8"),
        (b"[" * 100_000, 1, "nested too deep"),
    ],
)
def test_a_file_that_was_changed_is_told(tmp_path: Path, data: bytes, line: int, said: str) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(data)
    with pytest.raises(WorkspaceError) as caught:
        read_json(path, RunManifest)
    (problem,) = caught.value.problems
    assert (caught.value.code, problem.file, problem.line) == ("TB104", str(path), line)
    assert said in problem.message


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    for path in (tmp_path / "run.json", tmp_path):
        with pytest.raises(WorkspaceError):
            read_json(path, RunManifest)


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "verdict.json"
    write_json(path, MANIFEST)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(path, {"x": float("nan")})
    assert path.read_bytes() == before
    target = tmp_path / "folder"
    target.mkdir()
    with pytest.raises(WorkspaceError) as caught:
        write_whole(target, b"x")  # a file cannot take a folder's place
    assert caught.value.code == "TB104"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "verdict.json"]


def test_an_interrupted_write_leaves_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "a", b"x")
    assert list(tmp_path.iterdir()) == []


def test_others_may_read_what_is_written(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", b"x")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644
