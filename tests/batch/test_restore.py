"""`drdd restore` of many pictures, for real: killed in the middle, by workers of Ray, to and from S3."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drdd.batch.ledger import FILE
from drdd.pictures.files import png
from drdd.storage.objects import Store
from tests.corpora import scene
from tests.inference.test_engine import make_model
from tests.project import environment, must, run

pytestmark = pytest.mark.slow
COUNT = 40


@pytest.fixture
def folder(workspace: Path) -> Path:
    make_model(workspace / "model")
    for number in range(COUNT):
        path = workspace / "in" / str(number % 3) / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(scene(number, 48, 64)))
    return workspace


def _restore(source: str, output: str, *more: str) -> list[str]:
    return ["drdd", "restore", source, "-o", output, "--model", "model", "--threads", "1", *more]


def _outputs(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.png")}


def test_one_that_is_killed_goes_on_and_ends_with_the_same_bytes(folder: Path) -> None:
    said = must(folder, *_restore("in", "whole"))
    assert f"{COUNT} restored, 0 were there already" in said
    whole = _outputs(folder / "whole")
    assert len(whole) == COUNT
    process = subprocess.Popen(
        _restore("in", "out", "--batch", "4"), cwd=folder, env=environment(), start_new_session=True
    )
    while len(_outputs(folder / "out")) < COUNT // 4:
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = _outputs(folder / "out")
    assert 0 < len(before) < COUNT
    said = must(folder, *_restore("in", "out", "--workers", "2"))
    assert "core_worker" not in said
    assert _outputs(folder / "out").keys() == whole.keys()
    for name, content in _outputs(folder / "out").items():
        ours, theirs = (
            np.asarray(Image.open(folder / root / name)).astype(int) for root in ("out", "whole")
        )
        assert np.abs(ours - theirs).max() <= 1, name  # rounding depends on the batch
        assert content == before.get(name, content)
    said = must(folder, *_restore("in", "out"))
    assert f"0 restored, {COUNT} were there already" in said
    records = [json.loads(line) for line in (folder / "out" / FILE).read_text().splitlines()]
    assert len(records) == COUNT


def test_bad_files_are_said_at_the_end(folder: Path) -> None:
    (folder / "in/broken.jpg").write_bytes(b"no picture")
    done = run(folder, *_restore("in/**/*", "out", "--format", "jpg"))
    assert done.returncode == 2
    assert f"{COUNT} restored" in done.stdout
    assert "1 of 41 files could not be restored" in done.stdout
    assert "broken.jpg: no image" in done.stdout
    assert len(list((folder / "out").rglob("*.jpg"))) == COUNT


def test_from_s3_to_s3(folder: Path, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    store = Store(f"s3://drdd/{folder.name}")
    for path in (folder / "in").rglob("*.png"):
        store.put(f"in/{path.relative_to(folder / 'in').as_posix()}", path)
    command = _restore(f"{store.uri}/in", f"{store.uri}/out", "--workers", "2")
    assert f"{COUNT} restored" in must(folder, *command, **s3)
    assert f"{COUNT} were there already" in must(folder, *command, **s3)
    assert len(store.names("out")) == COUNT + 1
