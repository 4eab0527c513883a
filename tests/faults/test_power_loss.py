"""The power is lost at any moment: what is then on the disk is the old one or the new one, whole.

What an operation wrote is there from the moment it returns. tests/faults/power_loss.py says what a disk
may lose.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drdd import files
from drdd.cluster.checkpoints import Checkpoints
from drdd.files import atomic_folder, delete, write_bytes
from drdd.registry import cleaning
from drdd.registry.pulling import check
from drdd.registry.registry import Registry
from drdd.storage.objects import Store
from tests.faults.power_loss import losses, recording

Tree = dict[str, Any]  # by path: bytes of a file, or the files of a folder


def _run(operation: tuple[Any, ...], root: Path) -> None:
    kind, name, content = operation
    if kind == "file":
        write_bytes(root / name, content)
    elif kind == "object":
        Store(str(root)).put(name, content)
    elif kind == "gone":
        delete(root / name)
    else:
        with atomic_folder(root / name) as folder:
            for place, text in content.items():
                (folder / place).parent.mkdir(parents=True, exist_ok=True)
                (folder / place).write_bytes(text)


def _after(operation: tuple[Any, ...], before: Tree) -> Tree:
    kind, name, content = operation
    rest = {path: value for path, value in before.items() if path != name}
    return rest if kind == "gone" else rest | {name: content}


def _read(root: Path, names: set[str]) -> Tree:
    """What a reader finds, who looks for these names."""
    found: Tree = {}
    for name in names:
        path = root / name
        if path.is_file():
            found[name] = path.read_bytes()
        elif path.is_dir():
            inside = (one for one in path.rglob("*") if one.is_file())
            found[name] = {str(one.relative_to(path)): one.read_bytes() for one in inside}
    return found


CONTENT = st.binary(min_size=1, max_size=40)
INSIDE = st.dictionaries(st.sampled_from(["a", "b", "deep/c"]), CONTENT, min_size=1)
OPERATIONS = st.one_of(
    st.tuples(st.just("file"), st.sampled_from(["one", "in/a/folder/two"]), CONTENT),
    st.tuples(st.just("object"), st.sampled_from(["objects/three"]), CONTENT),
    st.tuples(st.just("folder"), st.sampled_from(["four", "new/parents/five"]), INSIDE),
    st.tuples(st.just("gone"), st.sampled_from(["one", "objects/three"]), st.none()),
)


@pytest.fixture
def place(tmp_path: Path) -> Callable[[], Path]:
    """Makes an empty folder, a new one for each example."""
    numbers: Iterator[int] = iter(range(10**6))

    def made() -> Path:
        path = tmp_path / str(next(numbers))
        path.mkdir()
        return path

    return made


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(OPERATIONS, min_size=1, max_size=5))
def test_a_reader_finds_the_old_one_or_the_new_one(
    place: Callable[[], Path], operations: list[tuple[Any, ...]]
) -> None:
    root = place()
    states: list[Tree] = [{}]
    with recording(root) as disk:
        for operation in operations:
            if operation[0] == "gone" and operation[1] not in states[-1]:
                continue
            states.append(_after(operation, states[-1]))
            _run(operation, root)
            disk.reached(len(states) - 1)
    assert _read(root, set(states[-1])) == states[-1]
    names = {name for state in states for name in state}
    for left, reached in losses(disk, place()):
        last = reached[-1] if reached else 0
        assert _read(left, names) in states[last : last + 2], (left, reached)
        shutil.rmtree(left)


def test_a_folder_left_without_its_name_gets_it_back(
    place: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system that cannot exchange two names."""
    monkeypatch.setattr(files, "_exchanged", lambda one, other: False)
    root, old, new = place(), {"a": b"old"}, {"b": b"new"}
    _run(("folder", "x", old), root)
    with recording(root) as disk:
        _run(("folder", "x", new), root)
    nameless = 0
    for left, _ in losses(disk, place()):
        nameless += not (left / "x").exists()
        with pytest.raises(RuntimeError), atomic_folder(left / "x"):
            raise RuntimeError
        assert _read(left, {"x"})["x"] in (old, new), left
        assert [path.name for path in left.iterdir()] == ["x"]
    assert nameless  # else the test shows nothing


def test_a_published_version_is_whole_and_the_alias_is_the_old_or_the_new_one(
    place: Callable[[], Path],
) -> None:
    root = place()
    registry = Registry.open(str(root / "models"))
    ids: list[str | None] = [None]
    with recording(root) as disk:
        for n in range(2):
            given: dict[str, Path | bytes] = {"config.json": b"%d" % n, "a/b.bin": bytes([n]) * 99}
            ids.append(registry.publish(given, {}).id)
            disk.reached(("published", n + 1))
            registry.aliases.move("champion", ids[-1] or "")
            disk.reached(("moved", n + 1))
        registry.aliases.move("champion", ids[1] or "")
        disk.reached(("moved", 1))
    for left, reached in losses(disk, place(), tries=4):
        found = Registry.open(str(left / "models"))
        visible = {version.id for version in found.versions()}
        assert {id_ for what, n in reached if what == "published" and (id_ := ids[n])} <= visible
        assert all(found.verify(id_) == [] for id_ in visible)
        alias = found.aliases.get("champion")
        moves = [ids[n] for what, n in reached if what == "moved"]
        history = [move.version for move in alias.history] if alias else []
        assert history[: len(moves)] == moves
        assert len(history) <= len(moves) + 1
        shutil.rmtree(left)


def test_a_cleaned_version_is_there_whole_or_not_at_all(place: Callable[[], Path]) -> None:
    root = place()
    registry = Registry.open(str(root / "models"))
    for n in range(2):
        registry.publish({"config.json": b"%d" % n, "b.bin": bytes(99)}, {})
    with recording(root) as disk:
        found = cleaning.leftovers(registry, hours=-1, keep=1)
        assert len(cleaning.remove(registry, found, hours=-1)) == 1
    for left, _ in losses(disk, place()):
        after = Registry.open(str(left / "models"))
        assert all(after.verify(version.id) == [] for version in after.versions())


def test_a_training_resumes_from_the_last_checkpoint_that_was_saved(
    place: Callable[[], Path],
) -> None:
    root = place()
    checkpoints = Checkpoints(str(root / "run"), keep=1)
    with recording(root) as disk:
        for step in (1, 2, 3):
            checkpoints.save({"step": step, "net": torch.full((8,), step)}, step, step, "net")
            disk.reached(step)
    for left, reached in losses(disk, place(), tries=4):
        after = Checkpoints(str(left / "run"), keep=1)
        newest, last = after.newest(), reached[-1] if reached else 0
        assert (newest[1].step if newest else 0) in (last, last + 1)
        assert after.warnings == []
        shutil.rmtree(left)


def test_a_pulled_version_is_there_whole_or_not_at_all(place: Callable[[], Path]) -> None:
    store, root = place(), place()
    registry = Registry.open(str(store))
    version = registry.publish({"config.json": b"{}", "model.safetensors": bytes(999)}, {})
    id_ = version.id
    with recording(root) as disk:
        registry.pull(id_, root / "cache" / id_)
        disk.reached("pulled")
    for left, reached in losses(disk, place()):
        if reached or (left / "cache" / id_).exists():
            assert check(left / "cache" / id_, version) == []


def test_the_disk_of_these_tests_loses_what_is_not_flushed(place: Callable[[], Path]) -> None:
    """Each loss that the others look for really happens to a writer that does not flush."""
    root = place()
    (root / "x").write_bytes(b"old")
    with recording(root) as disk:
        write_bytes(root / "deep" / "y", b"new", durable=False)
        write_bytes(root / "x", b"new", durable=False)
        disk.reached("end")
    ends = [left for left, reached in losses(disk, place(), tries=30) if reached]
    assert {(left / "x").read_bytes() for left in ends} == {b"old", b"", b"n", b"new"}
    assert {(left / "deep/y").exists() for left in ends} == {True, False}
