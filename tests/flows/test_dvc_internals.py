"""What flows use of DVC beside its public calls is still there; a sentence says what has moved."""

import inspect
from pathlib import Path

import pytest
from dvc.repo import Repo
from dvc.stage import cache as stage_cache
from dvc.stage.exceptions import StageCmdFailedError

from flows import dvc_internals
from flows.graph import found, opened
from tests.flows.toy import make


def test_a_repo_can_wait_for_its_lock() -> None:
    assert "_wait_for_lock" in inspect.signature(Repo.__init__).parameters, (
        "Repo takes no _wait_for_lock any more: see how `dvc --wait-for-lock` is passed on now, and do the "
        "same in flows/dvc_internals.py"
    )


def test_the_run_cache_has_the_entry_that_its_key_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make(tmp_path)
    monkeypatch.chdir(root)
    with opened(root) as repo:
        repo.reproduce("first", single_item=True)
        assert hasattr(stage_cache, "_get_stage_hash"), (
            "dvc.stage.cache._get_stage_hash has moved: find what names the entries of DVC's run cache "
            "now, and use it in flows/dvc_internals.py"
        )
        stage, _ = found(repo, "first")
        stage.save_deps()
        key = dvc_internals.run_cache_key(stage)
    assert (root / ".dvc/cache/runs" / key[:2] / key).is_dir(), (
        "DVC keeps the entries of its run cache elsewhere than in runs/KE/KEY of the cache: correct _entry "
        "and _remote_entry of flows/cache.py"
    )


def test_dvc_says_that_a_command_was_killed() -> None:
    assert dvc_internals.was_killed(StageCmdFailedError("x", -9)), (
        "DVC words the end of a killed command otherwise: correct KILLED in flows/dvc_internals.py"
    )
    assert not dvc_internals.was_killed(StageCmdFailedError("x", 1))
