"""Once per change: of objects under a prefix, and of commits that change data or params."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drdd.storage.filesystems import open_filesystem
from flows.sensor import look, step
from tests.conftest import ROOT
from tests.flows.toy import git, make


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=30))
def test_a_change_that_holds_still_starts_one_run(looks: list[str]) -> None:
    known: dict[str, Any] | None = None
    started: list[str] = []
    for digest in looks:
        known, start = step(known, digest)
        if start:
            started.append(digest)
    # What holds still for two looks, and differs from what held still before.
    settled = [looks[0]]
    settled += [b for a, b in pairwise(looks) if a == b]
    expected = [b for a, b in pairwise(settled) if a != b]
    assert started == expected
    assert known is not None
    assert known["count"] == len(expected)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = make(tmp_path / "project")
    (root / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    _commit(root)
    return root


def _commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "-qm", "more")


@pytest.mark.parametrize("name", ["ärger.dvc", "été/x.dvc", '"q".dvc', "line\nbreak.dvc"])
def test_a_data_file_of_any_name_counts(project: Path, name: str) -> None:
    before = look(project, [], "main")
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).write_text("outs: []\n")
    _commit(project)
    assert look(project, [], "main") != before


def test_a_commit_counts_if_it_changes_data_or_params(project: Path) -> None:
    before = look(project, [], "main")
    (project / "code.py").write_text("x")
    _commit(project)
    assert look(project, [], "main") == before
    (project / "params.yaml").write_text((project / "params.yaml").read_text() + "# more\n")
    assert look(project, [], "main") == before  # not committed
    _commit(project)
    changed = look(project, [], "main")
    assert changed != before
    (project / "pictures.dvc").write_text("outs: []\n")
    _commit(project)
    assert look(project, [], "main") not in (before, changed)


def test_a_branch_of_the_remote_is_fetched(project: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(project, "clone", "-q", str(project), str(clone))
    before = look(clone, [], "main")
    (project / "params.yaml").write_text((project / "params.yaml").read_text() + "# more\n")
    _commit(project)
    assert look(clone, [], "main") != before


def test_new_objects_count(
    project: Path, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    uri = "s3://drdd/watched"
    filesystem, path = open_filesystem(uri)
    filesystem.pipe(f"{path}/a.png", b"a")
    before = look(project, [uri], "")
    assert look(project, [uri], "") == before
    filesystem.pipe(f"{path}/b.png", b"b")
    more = look(project, [uri], "")
    assert more != before
    filesystem.pipe(f"{path}/b.png", b"c")  # the same name and size
    assert look(project, [uri], "") not in (before, more)
