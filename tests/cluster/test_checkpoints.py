"""A checkpoint is whole or not there, whoever dies, whatever is damaged and however slow the store is."""

import errno
import multiprocessing
import os
import random
import re
import shutil
import signal
import threading
import weakref
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from drdd.cluster.checkpoints import (
    Checkpoints,
    Mark,
    Saver,
    TrainState,
    network_digest,
    snapshot,
)
from drdd.errors import TransientError, UserError
from drdd.storage.objects import Store

# Children fork from a server that has one thread and all imports done.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])
NET = "0123456789abcdef"
OPERATIONS = ("put", "get", "names", "delete")
S3_SLOWLY = pytest.mark.parametrize(
    "uri", ["folder", pytest.param("s3", marks=pytest.mark.slow)], indirect=True
)


@pytest.fixture(params=["folder", "s3"])
def uri(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a run that has no checkpoint yet."""
    if request.param == "folder":
        return str(tmp_path / "run")
    for name, value in request.getfixturevalue("s3").items():
        monkeypatch.setenv(name, value)
    return f"s3://drdd/checkpoints-{tmp_path.name}/run"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


def _state(step: int) -> TrainState:
    return {"step": step, "net": {"weight": torch.full((64,), float(step))}}


def _save(checkpoints: Checkpoints, step: int, psnr: float | None = None) -> Mark:
    return checkpoints.save(_state(step), step, step * 16, NET, psnr)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return (one.dtype, one.shape, one.stride()) == (
            other.dtype,
            other.shape,
            other.stride(),
        ) and one.contiguous().flatten().view(
            torch.uint8
        ).tolist() == other.contiguous().flatten().view(torch.uint8).tolist()
    if isinstance(one, dict):
        return list(one) == list(other) and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and repr(one) == repr(other)


def _newest_step(checkpoints: Checkpoints) -> int | None:
    """Whose state and mark agree."""
    found = checkpoints.newest()
    if found is None:
        return None
    state, mark = found
    assert _same(state, _state(mark.step))
    return mark.step


def _steps(checkpoints: Checkpoints) -> list[int]:
    return [mark.step for mark in checkpoints.marks()]


def _trained_state() -> TrainState:
    """Of a network of several memory formats and an optimizer that has seen NaN and infinity."""
    layout: Any = {"memory_format": torch.channels_last}
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)).to(**layout)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    net(torch.ones(2, 3, 8, 8)).square().mean().backward()
    optimizer.step()
    odd = torch.tensor([0.0, -0.0, float("nan"), float("-inf"), 1e-45])
    return {
        "step": 7,
        "net": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "odd": [odd, odd.double(), odd.bfloat16(), odd.isnan(), torch.empty(0, 3)],
        "curve": [{"images": 16, "loss": 0.1 + 0.2, "loss/rain": float("inf")}],
        "rng": torch.Generator().manual_seed(3).get_state(),
        "none": None,
        "flags": (True, False, "ä", 2**70, -5),
    }


def test_a_state_comes_back_bit_for_bit(uri: str) -> None:
    checkpoints, state = Checkpoints(uri, keep=2), _trained_state()
    assert checkpoints.newest() is None
    saved = checkpoints.save(snapshot(state), 7, 112, NET, psnr=27.123456789)
    found = Checkpoints(uri, keep=2).newest()
    assert found is not None
    assert found[1] == saved == Mark(7, 112, NET, saved.sha256, saved.size, 27.123456789)
    assert _same(found[0], snapshot(state))
    assert checkpoints.marks() == [saved]
    assert checkpoints.warnings == []


def test_the_same_state_gives_the_same_objects(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Checkpoints(str(tmp_path / name), keep=1).save(snapshot(_state(3)), 3, 48, NET, 20.0)
    files = [{path.name: path.read_bytes() for path in (tmp_path / n).iterdir()} for n in "ab"]
    assert files[0] == files[1]
    assert sorted(files[0])[1] == "000000000048.json"


def test_the_newest_and_the_best_are_kept(uri: str) -> None:
    checkpoints = Checkpoints(uri, keep=2)
    kept = {1: [1], 2: [1, 2], 3: [2, 3], 4: [2, 3, 4], 5: [4, 5], 6: [5, 6], 7: [5, 6, 7]}
    psnr = {1: 20.0, 2: 30.0, 3: 25.0, 4: None, 5: 30.0, 6: float("nan"), 7: float("inf")}
    for step in range(1, 8):
        _save(checkpoints, step, psnr[step])
        assert _steps(checkpoints) == kept[step]
        assert len(Store(uri).names("", unfinished=True)) == 2 * len(kept[step])
    _save(checkpoints, 8)
    assert _steps(checkpoints) == [5, 7, 8]  # equally good ones: the newer
    assert _newest_step(checkpoints) == 8


def test_what_is_not_older_than_a_save_or_not_of_a_checkpoint_is_left_alone(folder: Path) -> None:
    checkpoints = Checkpoints(str(folder), keep=1)
    _save(checkpoints, 5)
    others = [
        "000000000064-0000000000000000.pt",  # of another writer at work on the same checkpoint
        ".000000000064-0000000000000000.pt.1-2.tmp",
        "000000000080-0000000000000000.pt",
        "notes.txt",
    ]
    left = ["000000000048-0000000000000000.pt", ".000000000048.json.1-2.tmp", "000000000048.json"]
    for name in (*others, *left):
        (folder / name).write_bytes(b"x")
    mark = _save(checkpoints, 4)
    names = {path.name for path in folder.iterdir()}
    assert {*others, mark.data, mark.manifest} < names
    assert not names & set(left)
    assert _steps(checkpoints) == [4, 5]


def test_a_checkpoint_of_as_many_images_is_replaced(folder: Path) -> None:
    checkpoints = Checkpoints(str(folder), keep=2)
    first = _save(checkpoints, 3)
    again = checkpoints.save(_state(4), 4, first.images, NET)
    assert checkpoints.marks() == [again]
    assert _newest_step(checkpoints) == 4
    _save(checkpoints, 5)
    assert not (folder / first.data).exists()


def _die_at(
    uri: str, environment: dict[str, str], cut_at: int, done_first: bool, step: int
) -> None:
    """In a process of its own: save, killed at the n-th operation of the store."""
    os.environ.update(environment)
    checkpoints, done = Checkpoints(uri, keep=1), count(1)

    def wrapped(operation: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            cut = next(done) == cut_at
            if cut and not done_first:
                os.kill(os.getpid(), signal.SIGKILL)
            result = operation(*args, **options)
            if cut:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return run

    for name in OPERATIONS:
        setattr(Store, name, wrapped(getattr(Store, name)))
    _save(checkpoints, step, 20.0)


def _aws() -> dict[str, str]:
    return {name: os.environ[name] for name in os.environ if name.startswith("AWS_")}


def _ended(target: Callable[..., None], *arguments: Any) -> int | None:
    process = PROCESSES.Process(target=target, args=arguments)
    process.start()
    process.join()
    return process.exitcode


@S3_SLOWLY
@pytest.mark.parametrize("done_first", [False, True])
def test_a_writer_killed_at_any_operation_leaves_the_old_checkpoint_or_the_new(
    uri: str, done_first: bool
) -> None:
    checkpoints = Checkpoints(uri, keep=1)
    _save(checkpoints, 1, 20.0)
    seen = []
    for cut_at in count(1):
        step = cut_at + 1
        exitcode = _ended(_die_at, uri, _aws(), cut_at, done_first, step)
        seen.append(_newest_step(checkpoints) == step)
        assert seen[-1] or _newest_step(checkpoints) == step - 1
        assert checkpoints.warnings == []
        manifests = [name for name in Store(uri).names("") if name.endswith(".json")]
        assert [mark.manifest for mark in checkpoints.marks()] == manifests
        _save(checkpoints, step, 20.0)
        assert _steps(checkpoints) == [step]
        if exitcode == 0:
            break
        assert exitcode == -signal.SIGKILL
    first_new = 2 if done_first else 3  # the manifest is the second thing written
    assert seen == [cut >= first_new for cut in range(1, cut_at + 1)]
    assert cut_at > 6  # two writes, two listings, manifests read, the old manifest and data deleted


def _die_while_writing(folder: str) -> None:
    setattr(os, "fsync", lambda descriptor: os.kill(os.getpid(), signal.SIGKILL))  # noqa: B010
    _save(Checkpoints(folder, keep=1), 2)


def test_what_a_writer_killed_in_the_midst_of_a_file_left_goes_with_the_next_save(
    folder: Path,
) -> None:
    checkpoints = Checkpoints(str(folder), keep=1)
    _save(checkpoints, 1)
    assert _ended(_die_while_writing, str(folder)) == -signal.SIGKILL
    assert len([path for path in folder.iterdir() if path.suffix == ".tmp"]) == 1
    assert _newest_step(checkpoints) == 1
    mark = _save(checkpoints, 3)
    assert sorted(path.name for path in folder.iterdir()) == sorted([mark.data, mark.manifest])


def _flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def test_any_byte_that_changed_is_noticed(folder: Path) -> None:
    checkpoints = Checkpoints(str(folder), keep=2)
    _save(checkpoints, 1)
    mark = _save(checkpoints, 2, 31.5)
    manifest, data = folder / mark.manifest, folder / mark.data
    for path in (manifest, data):
        whole = path.read_bytes()
        spots = (
            range(len(whole)) if path == manifest else random.Random(0).sample(range(mark.size), 99)
        )
        for at in spots:
            path.write_bytes(_flipped(whole, at))
            assert _newest_step(checkpoints) == 1, (path, at)
            assert len(checkpoints.warnings) == 1
        path.write_bytes(whole)
    assert _newest_step(checkpoints) == 2
    assert checkpoints.warnings == []


def _save_code(store: Store, mark: Mark) -> None:
    """Every digest is right, but the data are more than tensors."""
    Checkpoints(store.uri, keep=3).save({"run": print}, mark.step, mark.images, NET)


MANIFEST = "its manifest is not what was written"
DAMAGES: dict[str, tuple[Callable[[Store, Mark], None], str]] = {
    "no data": (lambda store, mark: store.delete(mark.data), "its data are missing"),
    "short": (
        lambda store, mark: store.put(mark.data, (store.get(mark.data) or b"")[:-1]),
        r"\d+ bytes instead of \d+",
    ),
    "empty": (lambda store, mark: store.put(mark.data, b""), r"0 bytes instead of \d+"),
    "other bytes": (
        lambda store, mark: store.put(mark.data, _flipped(store.get(mark.data) or b"", 300)),
        "SHA-256 differs",
    ),
    "no JSON": (lambda store, mark: store.put(mark.manifest, b"{"), MANIFEST),
    "no object": (lambda store, mark: store.put(mark.manifest, b"[1]"), MANIFEST),
    "empty manifest": (lambda store, mark: store.put(mark.manifest, b""), MANIFEST),
    "another's manifest": (
        lambda store, mark: store.put(mark.manifest, store.get("000000000016.json") or b""),
        MANIFEST,
    ),
    "code": (_save_code, "UnpicklingError when it was read"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_checkpoint_is_skipped_and_told(folder: Path, kind: str) -> None:
    (damage, reason), uri = DAMAGES[kind], str(folder)
    checkpoints, store = Checkpoints(uri, keep=3), Store(uri)
    marks = [_save(checkpoints, step) for step in (1, 2, 3)]
    damage(store, marks[2])
    assert _newest_step(checkpoints) == 2
    (said,) = checkpoints.warnings
    start, end = f"checkpoint at image 48 in {re.escape(uri)} is damaged", "going on from image 32"
    assert re.fullmatch(rf"{start} \({reason}\); {end}", said)
    _save(checkpoints, 3)
    assert (_newest_step(checkpoints), checkpoints.warnings) == (3, [])


def test_when_all_are_damaged_there_is_none_and_each_is_told(uri: str) -> None:
    checkpoints, store = Checkpoints(uri, keep=3), Store(uri)
    for mark in [_save(checkpoints, step) for step in (1, 2, 3)]:
        store.delete(mark.data)
    assert checkpoints.newest() is None
    assert checkpoints.warnings == [
        f"checkpoint at image {images} in {uri} is damaged (its data are missing); no other is whole"
        for images in (48, 32, 16)
    ]
    assert checkpoints.marks() == []
    _save(checkpoints, 4)
    assert len(store.names("")) == 2


def _save_many(uri: str, environment: dict[str, str], writer: int) -> None:
    os.environ.update(environment)
    checkpoints = Checkpoints(uri, keep=1)
    for _ in range(10):
        checkpoints.save(_state(writer), writer, 320, NET)


@S3_SLOWLY
def test_racing_writers_of_one_checkpoint_leave_a_whole_one(uri: str) -> None:
    Checkpoints(uri, keep=1).save(_state(1), 1, 320, NET)
    arguments = [(uri, _aws(), writer) for writer in (2, 3)]
    racers = [PROCESSES.Process(target=_save_many, args=one) for one in arguments]
    for racer in racers:
        racer.start()
    checkpoints = Checkpoints(uri, keep=1)
    while any(racer.is_alive() for racer in racers):
        assert _newest_step(checkpoints) in (1, 2, 3)
        assert checkpoints.warnings == []
    for racer in racers:
        racer.join()
    assert [racer.exitcode for racer in racers] == [0, 0]
    assert _newest_step(checkpoints) in (2, 3)
    assert len(checkpoints.marks()) == 1


@pytest.mark.parametrize("overtaken_by", [3, 4])
def test_a_straggler_does_no_harm_to_the_writer_that_overtakes_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, overtaken_by: int
) -> None:
    """Which saves after the straggler's data and before its manifest are written."""
    checkpoints, put = Checkpoints(str(folder), keep=1), Store.put

    def overtaken(self: Store, name: str, content: bytes | Path) -> None:
        if name.endswith(".json"):
            monkeypatch.setattr(Store, "put", put)
            checkpoints.save(_state(overtaken_by), overtaken_by, 16 * overtaken_by, NET)
        put(self, name, content)

    monkeypatch.setattr(Store, "put", overtaken)
    checkpoints.save(_state(2), 2, 48, NET)
    assert _newest_step(checkpoints) == (4 if overtaken_by == 4 else 2)
    assert checkpoints.warnings == []


def test_a_store_is_probed_without_leaving_anything(uri: str) -> None:
    Checkpoints(uri, keep=1).probe()
    assert Store(uri).names("", unfinished=True) == []
    assert not Path(uri).exists()


def test_a_store_that_forgets_is_found_by_the_probe(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "put", lambda self, name, content: None)
    with pytest.raises(UserError, match="does not give back what was just written"):
        Checkpoints(str(folder), keep=1).probe()


def test_a_discarded_run_leaves_nothing_and_its_neighbour_is_untouched(uri: str) -> None:
    checkpoints, neighbour = Checkpoints(uri, keep=2), Checkpoints(f"{uri}-2", keep=2)
    _save(neighbour, 1)
    for step in (1, 2):
        _save(checkpoints, step)
    checkpoints.discard()
    assert Store(uri).names("", unfinished=True) == []
    assert not Path(uri).exists()
    assert _newest_step(checkpoints) is None
    assert _newest_step(neighbour) == 1
    checkpoints.discard()


def test_deleting_what_is_not_there_is_no_error(uri: str) -> None:
    store = Store(uri)
    store.put("a", b"1")
    for _ in range(2):
        store.delete("a")
        store.delete("no/such/object")
    assert store.get("a") is None


@pytest.mark.slow
@pytest.mark.parametrize("uri", ["s3"], indirect=True)
def test_a_large_checkpoint_goes_in_parts_and_comes_back(uri: str) -> None:
    checkpoints = Checkpoints(uri, keep=1)
    weight = torch.randint(0, 256, (105 * 1024**2,), dtype=torch.uint8)
    checkpoints.save({"weight": weight}, 1, 16, NET)
    found = checkpoints.newest()
    assert found is not None
    assert torch.equal(found[0]["weight"], weight)


def test_wrong_keys_and_a_dead_endpoint_are_not_taken_for_damage(
    s3: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    checkpoints = Checkpoints("s3://drdd/checkpoints-keys/run", keep=1)
    _save(checkpoints, 1)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    with pytest.raises(UserError, match="access refused"):
        Checkpoints("s3://drdd/checkpoints-keys/run", keep=1).probe()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(TransientError, match="does not answer"):
        Checkpoints("s3://drdd/checkpoints-keys/run", keep=1).newest()


def test_a_disk_without_room_is_said_before_anything_is_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(str(folder), keep=1)
    mark = _save(checkpoints, 1)
    usage = shutil.disk_usage(folder)._replace(free=mark.size)  # the tenth on top is lacking
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"run: its disk is full: 0\.0 MiB needed, 0\.0 MiB free"):
        _save(checkpoints, 2)
    assert sorted(path.name for path in folder.iterdir()) == sorted([mark.data, mark.manifest])
    assert _newest_step(checkpoints) == 1


@pytest.mark.parametrize("full", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_disk_that_fills_up_on_the_way_leaves_the_old_checkpoint(
    folder: Path, monkeypatch: pytest.MonkeyPatch, full: int, fails_at: int
) -> None:
    """While the data or the manifest are written."""
    checkpoints, fsync, done = Checkpoints(str(folder), keep=1), os.fsync, count(1)
    mark = _save(checkpoints, 1)

    def no_space(descriptor: int) -> None:
        if next(done) == fails_at:
            raise OSError(full, os.strerror(full))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(UserError, match=r"run: its disk is full: .* MiB needed, .* MiB free; make"):
        _save(checkpoints, 2)
    assert (_newest_step(checkpoints), checkpoints.warnings) == (1, [])
    assert not list(folder.glob(".*"))
    _save(checkpoints, 3)
    assert len(list(folder.iterdir())) == 2
    assert mark not in checkpoints.marks()


def _save_as_nobody(folder: str) -> None:
    if os.geteuid() == 0:
        os.setuid(65534)
    for ask in (
        lambda: Checkpoints(folder, keep=1).probe(),
        lambda: _save(Checkpoints(folder, 1), 2),
    ):
        with pytest.raises(UserError, match=r"access refused .*check its permissions"):
            ask()


def test_a_folder_that_may_not_be_written_is_said(folder: Path) -> None:
    folder.mkdir(mode=0o555)
    assert _ended(_save_as_nobody, str(folder)) == 0


class _Gate:
    """Lets the saves of a store begin only when it is opened, and fails the first of them if told."""

    def __init__(self, patch: pytest.MonkeyPatch, refusals: int = 0, is_open: bool = True) -> None:
        self.begun, self._open = threading.Semaphore(0), threading.Event()
        self.states: list[weakref.ref[Tensor]] = []
        self._refusals, self._save = refusals, Checkpoints.save
        patch.setattr(Checkpoints, "save", lambda *arguments: self._gated(*arguments))
        patch.setattr("drdd.cluster.checkpoints.WAITS_S", (0, 0, 0))
        if is_open:
            self.open()

    def open(self) -> None:
        self._open.set()

    def _gated(self, checkpoints: Checkpoints, state: TrainState, *rest: Any) -> Mark:
        self.states.append(weakref.ref(state["net"]["weight"]))
        self.begun.release()
        self._open.wait()
        if self._refusals:
            self._refusals -= 1
            raise TransientError("the store does not answer")
        return self._save(checkpoints, state, *rest)


def test_what_training_changes_later_is_not_in_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, told = _Gate(monkeypatch, is_open=False), list[str]()
    checkpoints = Checkpoints(str(folder), keep=1)
    saver, state = Saver(checkpoints, told.append), _state(1)
    saver.submit(state, 1, 16, NET, 21.0)
    state["net"]["weight"].fill_(5)
    state["net"]["extra"] = 1
    gate.open()
    saver.flush()
    assert _newest_step(checkpoints) == 1
    assert checkpoints.marks()[0].psnr == 21.0
    assert told == []


def test_while_a_save_is_at_work_the_newest_of_those_that_wait_wins(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, told = _Gate(monkeypatch, is_open=False), list[str]()
    checkpoints = Checkpoints(str(folder), keep=9)
    saver = Saver(checkpoints, told.append)
    saver.submit(_state(1), 1, 16, NET)
    gate.begun.acquire()
    for step in (2, 3, 4):
        saver.submit(_state(step), step, 16 * step, NET)
    gate.open()
    saver.flush()
    assert _steps(checkpoints) == [1, 4]
    assert told == []


def test_a_store_that_refuses_twice_and_then_accepts_is_not_worth_a_word(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _Gate(monkeypatch, refusals=2)
    checkpoints, told = Checkpoints(str(folder), keep=1), list[str]()
    saver = Saver(checkpoints, told.append)
    saver.submit(_state(1), 1, 16, NET)
    saver.flush()
    assert _newest_step(checkpoints) == 1
    assert told == []


def test_a_store_that_always_refuses_is_told_once_a_checkpoint_and_the_old_one_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints, told = Checkpoints(str(folder), keep=1), list[str]()
    _save(checkpoints, 1)
    gate = _Gate(monkeypatch, refusals=8)  # four tries each
    saver = Saver(checkpoints, told.append)
    for step in (2, 3):
        saver.submit(_state(step), step, 16 * step, NET)
        with pytest.raises(TransientError, match="the store does not answer"):
            saver.flush()
    assert told == [
        f"checkpoint at image {images} was not saved (the store does not answer); training goes on, "
        "and would resume from the one before"
        for images in (32, 48)
    ]
    assert len(gate.states) == 8
    assert [state() for state in gate.states] == [None] * 8  # no failure keeps a state in memory
    assert _newest_step(checkpoints) == 1
    saver.submit(_state(4), 4, 64, NET)
    saver.flush()
    assert (_newest_step(checkpoints), len(told)) == (4, 2)


def test_a_snapshot_shares_nothing_and_refuses_what_could_not_be_read_back() -> None:
    state = _trained_state()
    copied = snapshot(state)
    assert _same(copied, snapshot(copied))
    weight = state["net"]["0.weight"]
    assert copied["net"]["0.weight"].is_contiguous(memory_format=torch.channels_last)
    weight.data.fill_(9)
    assert not (copied["net"]["0.weight"] == 9).any()
    for alien in (np.float64(1), {1, 2}, b"bytes", nn.Identity(), torch.float32, print):
        with pytest.raises(TypeError, match=rf"a\.0\.b of the state is a .*{type(alien).__name__}"):
            snapshot({"a": [{"b": alien}]})


def test_the_digest_of_a_network_tells_names_shapes_and_order() -> None:
    digest = network_digest(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    assert len(digest) == 64
    assert digest == network_digest(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).double())
    named = nn.Sequential()
    named.add_module("a", nn.Linear(2, 3))
    named.add_module("1", nn.BatchNorm1d(3))
    swapped = nn.Sequential(nn.Identity(), nn.BatchNorm1d(3))
    swapped._modules = {"1": swapped[1], "0": nn.Linear(2, 3)}
    others = [named, swapped, nn.Sequential(nn.Linear(3, 2)), nn.Sequential(nn.Linear(2, 3))]
    assert len({digest, *map(network_digest, others)}) == 5
