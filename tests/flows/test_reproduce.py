"""One stage of a workspace: made once for all who share the cache or the remote."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from drdd.errors import Failure
from drdd.progress import Status, read_status
from flows import cache
from flows.graph import dump, found, locked, opened
from flows.reproduce import RAN, RESTORED, current, has_outputs
from tests.conftest import ROOT
from tests.flows.toy import git, make, said

ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make(tmp_path / "project", tmp_path / "remote")


def _start(root: Path, stage: str, *more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "flows.reproduce", stage, *more],
        cwd=root,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _ended(process: "subprocess.Popen[str]", status: int = 0) -> str:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == status, output
    return output


def _made(root: Path, stage: str, *more: str) -> str:
    _ended(_start(root, stage, *more))
    return _status(root, stage).outcome


def _status(root: Path, stage: str) -> Status:
    status = read_status(stage, root)
    assert status is not None
    return status


def _other(project: Path, name: str, shared: bool) -> Path:
    """A clone; shared: with the project's own cache, else with an empty one."""
    clone = project.parent / name
    git(project, "clone", "-q", str(project), str(clone))
    if shared:
        folder = project / ".dvc/cache"
        (clone / ".dvc/config.local").write_text(f"[cache]\n    dir = {folder}\n")
    return clone


def _objects(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("files/md5/*/*") if path.is_file())


def test_what_is_made_is_current_until_its_inputs_change(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    assert current(["first", "second"]) == frozenset()
    assert _made(project, "first") == RAN
    assert _made(project, "second") == RAN
    assert current(["first", "second"]) == {"first", "second"}
    (project / "in").write_text("y")
    assert current(["first", "second"]) == {"second"}
    assert said(project) == ["first", "second"]


@pytest.mark.parametrize("shared", [True, False], ids=["shared cache", "empty cache"])
def test_another_workspace_restores_it(project: Path, shared: bool) -> None:
    for stage in ("first", "second"):
        _made(project, stage)
    other = _other(project, "other", shared)
    assert [_made(other, stage) for stage in ("first", "second")] == [RESTORED, RESTORED]
    assert said(other) == []
    assert (other / "b/1").read_text() == "x"
    assert _made(other, "beside") == RAN  # from inputs that were fetched


@pytest.mark.parametrize("lost", [False, True], ids=["kept", "lost"])
def test_a_lock_of_other_inputs_hides_nothing_that_was_made(project: Path, lost: bool) -> None:
    """As after a change of a gate, when dvc.lock is the committed one, of an older code."""
    _made(project, "first")
    lock = (project / "dvc.lock").read_bytes()
    older = _objects(project / ".dvc/cache") + _objects(project.parent / "remote")
    (project / "in").write_text("y")
    assert _made(project, "first") == RAN
    (project / "dvc.lock").write_bytes(lock)
    (project / "a").unlink()
    for path in older if lost else ():
        path.unlink()
    assert _made(project, "first") == RESTORED
    assert (project / "a").read_text() == "y"
    assert said(project) == ["first", "first"]


def test_a_lock_whose_outputs_are_lost_hides_nothing_that_was_made(project: Path) -> None:
    """As in a clone whose dvc.lock another machine wrote, with outputs of other bytes."""
    _made(project, "first")
    lock, made = project / "dvc.lock", (project / "dvc.lock").read_text()
    found = yaml.safe_load(made)["stages"]["first"]["outs"][0]["md5"]
    lock.write_text(made.replace(found, found[::-1]))
    (project / "a").unlink()
    assert _made(project, "first") == RESTORED
    assert (project / "a").read_text() == "x"
    assert said(project) == ["first"]


def test_only_what_the_remote_has_not_is_pushed(project: Path) -> None:
    remote = project.parent / "remote"
    _made(project, "first")
    before = {path: path.stat().st_mtime_ns for path in _objects(remote)}
    assert before
    _made(project, "second")
    after = {path: path.stat().st_mtime_ns for path in _objects(remote)}
    assert before.items() <= after.items()
    assert len(after) > len(before)


def test_what_is_unpushed_is_pushed_by_the_next_run(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    remote = project.parent / "remote"
    remote.write_text("no folder")
    _ended(_start(project, "first"), status=1)
    status = _status(project, "first")
    assert (status.outcome, status.state) == (RAN, "failed")
    assert status.failure is not None
    assert "Not a directory" in status.failure.sentence
    assert current(["first"]) == frozenset()
    remote.unlink()
    assert _made(project, "first") == RESTORED
    assert _objects(remote)
    assert current(["first"]) == {"first"}
    assert said(project) == ["first"]


def test_a_partial_cache_is_filled_from_the_remote(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in ("first", "second"):
        _made(project, stage)
    shutil.rmtree(project / "b")
    lost = [path for path in _objects(project / ".dvc/cache") if path.read_text() == "x\n"]
    lost[0].unlink()
    monkeypatch.chdir(project)
    assert current(["second"]) == {"second"}  # the remote has it
    with opened(Path()) as repo, locked(repo):
        cache.fetch(repo, ["b"])
    assert (project / "b/2").read_text() == "x\n"


@pytest.mark.parametrize("suffix", ["", ".dir"], ids=["a file", "the list of a folder"])
def test_a_damaged_object_is_found_by_its_hash_and_fetched_again(
    project: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in ("first", "second"):
        _made(project, stage)
    monkeypatch.chdir(project)
    with opened(Path()) as repo, locked(repo):
        (out,) = found(repo, "second")[0].outs
    whole = [path for path in _objects(project / ".dvc/cache") if path.suffix == suffix]
    contents = {path: path.read_bytes() for path in whole}
    for path in whole:
        path.chmod(0o644)
        path.write_bytes(b"damaged")
        path.chmod(0o444)  # which DVC takes for a proof
    shutil.rmtree(project / "b")
    with opened(Path()) as repo, locked(repo):
        cache.fetch(repo, ["b"])
    assert {path.name: path.read_text() for path in (project / "b").iterdir()} == {
        "1": "x",
        "2": "x\n",
    }
    used = [path for path in whole if path.name.startswith(out.hash_info.value[2:6])] or whole[:0]
    assert all(path.read_bytes() == contents[path] for path in used)


def test_a_damaged_object_is_fetched_again_when_the_run_cache_restores_it(project: Path) -> None:
    for stage in ("first", "second"):
        _made(project, stage)
    for path in _objects(project / ".dvc/cache"):
        path.chmod(0o644)
        path.write_bytes(b"damaged")
        path.chmod(0o444)
    other = _other(project, "other", shared=True)
    assert [_made(other, stage) for stage in ("first", "second")] == [RESTORED, RESTORED]
    assert said(other) == []
    assert (other / "b/1").read_text() == "x"


def test_a_damaged_entry_of_the_run_cache_is_made_again(project: Path) -> None:
    _made(project, "first")
    other = _other(project, "other", shared=True)
    for path in (project / ".dvc/cache/runs").rglob("*"):
        if path.is_file():
            path.write_text("cmd: [")
    assert _made(other, "first") == RAN
    assert _made(_other(project, "third", shared=True), "first") == RESTORED


def test_what_is_nowhere_any_more_is_made_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in ("first", "second"):
        _made(project, stage)
    for folder in (project / ".dvc/cache/files", project.parent / "remote"):
        shutil.rmtree(folder)
    shutil.rmtree(project / "b")
    monkeypatch.chdir(project)
    assert current(["second"]) == frozenset()
    assert not has_outputs("second")
    assert _made(project, "second") == RAN
    assert has_outputs("second")


def test_of_two_that_would_make_the_same_one_does(project: Path) -> None:
    _made(project, "first")
    other = _other(project, "other", shared=True)
    _made(other, "first")
    both = [_start(root, "second") for root in (project, other)]
    for process in both:
        _ended(process)
    assert sorted(_status(root, "second").outcome for root in (project, other)) == [RAN, RESTORED]
    assert len(said(project)[1:] + said(other)) == 1
    assert not list((project / ".dvc/cache/flights").iterdir())


def test_stages_of_one_workspace_run_at_the_same_time(project: Path) -> None:
    _made(project, "first")
    both = [_start(project, stage) for stage in ("second", "beside")]
    for process in both:
        _ended(process)
    assert [_status(project, stage).outcome for stage in ("second", "beside")] == [RAN, RAN]
    assert current_in(project, ["first", "second", "beside"]) == {"first", "second", "beside"}


def current_in(root: Path, names: list[str]) -> set[str]:
    before = Path.cwd()
    os.chdir(root)
    try:
        return set(current(names))
    finally:
        os.chdir(before)


def test_force_makes_it_anew(project: Path) -> None:
    assert _made(project, "first") == RAN
    assert _made(project, "first", "--force") == RAN
    assert said(project) == ["first", "first"]


def test_a_failing_stage_is_said(project: Path) -> None:
    _made(project, "first")
    output = _ended(_start(project, "broken"), status=1)
    assert "the last word" in output
    assert "exited with 3" in output
    failure = _status(project, "broken").failure
    assert failure is not None
    assert failure.kind == "unexpected"
    assert failure.sentence.endswith("exited with 3")


def test_what_a_stage_says_of_its_failure_is_kept(project: Path) -> None:
    text = (project / "dvc.yaml").read_text()
    (project / "dvc.yaml").write_text(
        text.replace("echo the last word && exit 3", f"{sys.executable} c.py")
    )
    (project / "c.py").write_text(
        "from drdd.errors import UserError\nfrom drdd.progress import reporting\n"
        "with reporting('broken'):\n    raise UserError('no sky', 'look up')\n"
    )
    _made(project, "first")
    _ended(_start(project, "broken"), status=1)
    assert _status(project, "broken").failure == Failure("user", "no sky", "look up")


def test_of_a_stage_that_was_killed_memory_is_the_likely_cause(project: Path) -> None:
    text = (project / "dvc.yaml").read_text()
    (project / "dvc.yaml").write_text(text.replace("exit 3", "kill -9 $$"))
    _made(project, "first")
    _ended(_start(project, "broken"), status=1)
    failure = _status(project, "broken").failure
    assert failure is not None
    assert "too little memory" in failure.remedy


def test_a_stage_is_not_lost_when_dvc_is_locked_as_it_ends(project: Path) -> None:
    """As by another that fetches its inputs: DVC by itself gives up after 3 s."""
    _made(project, "first")
    process = _start(project, "second")
    while "second" not in said(project):
        time.sleep(0.02)
    with opened(project) as repo, locked(repo):
        time.sleep(5)
    _ended(process)
    assert _status(project, "second").outcome == RAN
    assert said(project) == ["first", "second"]


def test_a_remote_that_is_gone_may_come_back(project: Path) -> None:
    config = project / ".dvc/config"
    dead = "s3://bucket/prefix\n    endpointurl = http://127.0.0.1:9\n    access_key_id = a\n"
    config.write_text(
        f"[core]\n    remote = there\n['remote \"there\"']\n    url = {dead}    secret_access_key = b\n"
    )
    output = _ended(_start(project, "first"), status=1)
    assert "does not answer" in output
    failure = _status(project, "first").failure
    assert failure is not None
    assert failure.kind == "transient"
    assert "drdd doctor" in failure.remedy


def test_a_killed_one_leaves_nothing_that_stops_the_next(project: Path) -> None:
    _made(project, "first")
    process = _start(project, "second")
    while "second" not in said(project):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert _made(project, "second") == RAN
    assert (project / "b/1").read_text() == "x"


def test_a_torn_list_of_locks_is_dropped(project: Path) -> None:
    (project / ".dvc/tmp").mkdir(exist_ok=True)
    (project / ".dvc/tmp/rwlock").write_text('{"read": {')  # its writer was killed
    assert _made(project, "first") == RAN


def test_a_lock_file_whose_writer_was_killed_is_put_back(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    for stage in ("first", "second"):
        _made(project, stage)
    whole = Path("dvc.lock").read_bytes()

    class Killed:
        def dump(self, update_pipeline: bool) -> None:
            Path("dvc.lock").write_bytes(whole[: len(whole) // 2])  # in place, as DVC does
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), opened(Path()) as repo, locked(repo):
        dump(Killed(), Path())
    assert Path("dvc.lock").read_bytes() != whole
    assert current(["first", "second"]) == {"first", "second"}
    assert Path("dvc.lock").read_bytes() == whole


def test_of_two_dvc_repro_at_once_the_second_is_refused(project: Path) -> None:
    _made(project, "first")
    command = [str(Path(sys.executable).with_name("dvc")), "repro", "second"]
    slowly = ENVIRONMENT | {"TOY_S": "8"}
    one = subprocess.Popen(
        command, cwd=project, env=slowly, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    while "second" not in said(project):
        time.sleep(0.01)
    two = subprocess.run(command, cwd=project, env=slowly, capture_output=True, text=True)
    assert two.returncode != 0
    assert "is busy, it is being blocked by" in two.stderr
    assert f"(PID {one.pid})" in two.stderr
    assert one.wait() == 0
    assert said(project).count("second") == 1
    assert current_in(project, ["first", "second"]) == {"first", "second"}
