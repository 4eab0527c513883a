"""What DVC, TensorBoard and the terminal show of a run is what the run did, and no more."""

import json
import math
import socket
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from drdd.cluster.live import Live, draw_grid, note, tag
from drdd.training.history import Point
from drdd.training.validation import ShownRow
from tests.conftest import ROOT
from tests.project import must

SUMMARY, PLOTS = "metrics.json", "plots/metrics"
Series = dict[str, list[tuple[int, float]]]


def _point(images: int, **more: float) -> Point:
    """Each number differs from point to point, and float32 holds it exactly."""
    value = images / 1024
    return {
        "images": images,
        "loss": value,
        "loss/haze": value + 1,
        "loss/t 0-249": value + 2,
        "grad_norm": value + 3,
        "learning_rate": 2.0**-10,
        "skipped": 0,
        "images_per_second": 31.5,
        "waiting": 0.25,
        **more,
    }


def _png(colour: str) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (12, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


def _live(root: Path) -> Live:
    return Live(root / "live", root / "board")


def _run(live: Live, count: int) -> list[Point]:
    """A run of so many points, of 10 images each, validated at every second one."""
    live.begin([])
    points = [_point(10 * n, **({} if n % 2 else {"psnr": 20.0 + n})) for n in range(1, count + 1)]
    for point in points:
        live.add(point, b"" if "psnr" not in point else _png("red"))
    return points


def _expected(points: list[Point]) -> Series:
    series: Series = {}
    for point in points:
        for key, value in point.items():
            if key != "images" and math.isfinite(value):
                series.setdefault(tag(key), []).append((int(point["images"]), value))
    return series


def _plots(root: Path) -> Series:
    series = {}
    folder = root / "live" / PLOTS
    for path in folder.rglob("*.tsv"):
        rows = [line.split("\t") for line in path.read_text().splitlines()]
        assert rows[0] == ["step", path.stem]
        name = path.relative_to(folder).with_suffix("").as_posix()
        series[name] = [(int(step), float(value)) for step, value in rows[1:]]
    return series


def _board(root: Path) -> EventAccumulator:
    """TensorBoard's own view, without its limits on how much it shows."""
    reader = EventAccumulator(str(root / "board"), size_guidance={"scalars": 0, "images": 0})
    return reader.Reload()


def _scalars(reader: EventAccumulator) -> Series:
    return {
        name: [(event.step, event.value) for event in reader.Scalars(name)]
        for name in reader.Tags()["scalars"]
    }


def _pictures(reader: EventAccumulator) -> dict[int, bytes]:
    if "validation" not in reader.Tags()["images"]:
        return {}
    return {event.step: event.encoded_image_string for event in reader.Images("validation")}


def _bytes(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_both_show_every_number_at_its_images(tmp_path: Path) -> None:
    live = _live(tmp_path)
    points = _run(live, 5)
    assert _plots(tmp_path) == _expected(points)
    assert _scalars(_board(tmp_path)) == _expected(points)  # before end: nothing is held back
    live.end()
    live.end()
    assert _scalars(_board(tmp_path)) == _expected(points)


def test_the_summary_holds_the_last_value_of_each(tmp_path: Path) -> None:
    _run(_live(tmp_path), 3)
    assert json.loads((tmp_path / "live" / SUMMARY).read_text()) == {
        "loss": 30 / 1024,
        "loss_of": {"haze": 30 / 1024 + 1, "t 0-249": 30 / 1024 + 2},
        "optimizer": {"grad_norm": 30 / 1024 + 3, "learning_rate": 2.0**-10, "skipped": 0.0},
        "speed": {"images_per_second": 31.5, "waiting": 0.25},
        "psnr": 22.0,
        "step": 30,
    }


def test_a_replayed_history_leaves_the_bytes_of_one_written_live(tmp_path: Path) -> None:
    points = _run(_live(tmp_path), 6)
    written = _bytes(tmp_path / "live")
    assert "plots/images/validation.png" in written
    _live(tmp_path).begin(points)
    replayed = _bytes(tmp_path / "live")
    # Of the summary the values: "step" stands where it came first.
    assert json.loads(replayed.pop(SUMMARY)) == json.loads(written.pop(SUMMARY))
    assert replayed == written
    assert _scalars(_board(tmp_path)) == _expected(points)


def test_of_undone_steps_nothing_stands_and_of_redone_ones_nothing_stands_twice(
    tmp_path: Path,
) -> None:
    live = _live(tmp_path)
    points = _run(live, 7)
    open_since = _board(tmp_path)
    live.begin(points[:3])
    assert _plots(tmp_path) == _expected(points[:3])
    assert _scalars(_board(tmp_path)) == _expected(points[:3])
    assert json.loads((tmp_path / "live" / SUMMARY).read_text())["step"] == 30
    redone = [*points[:3], _point(40, loss=0.5, psnr=30.0)]
    live.add(redone[3])
    assert _plots(tmp_path) == _expected(redone)
    for reader in (_board(tmp_path), open_since.Reload()):
        assert _scalars(reader) == _expected(redone)


def test_a_new_run_forgets_the_one_before(tmp_path: Path) -> None:
    _run(_live(tmp_path), 4)
    _live(tmp_path).begin([])
    assert _bytes(tmp_path / "live") == {SUMMARY: b"{}\n"}
    # DVC wants every output to be there, also of a stage that has no validation.
    assert (tmp_path / "live" / PLOTS).is_dir()
    assert (tmp_path / "live/plots/images").is_dir()
    reader = _board(tmp_path)
    assert (_scalars(reader), _pictures(reader)) == ({}, {})


def test_the_latest_grid_is_the_picture_and_each_is_at_its_images(tmp_path: Path) -> None:
    live = _live(tmp_path)
    live.begin([])
    live.add(_point(10, psnr=20.0), _png("red"))
    live.add(_point(20))
    live.add(_point(30, psnr=21.0), _png("blue"))
    assert (tmp_path / "live/plots/images/validation.png").read_bytes() == _png("blue")
    assert _pictures(_board(tmp_path)) == {10: _png("red"), 30: _png("blue")}


def test_a_resumed_run_has_its_earlier_grids_again_and_no_later_ones(tmp_path: Path) -> None:
    live = _live(tmp_path)
    live.begin([])
    points = [_point(10, psnr=20.0), _point(20), _point(30, psnr=21.0)]
    for point, grid in zip(points, (_png("red"), b"", _png("blue")), strict=True):
        live.add(point, grid)
    _live(tmp_path).begin(points[:2])
    assert (tmp_path / "live/plots/images/validation.png").read_bytes() == _png("red")
    assert _pictures(_board(tmp_path)) == {10: _png("red")}


def test_what_is_not_finite_is_a_gap(tmp_path: Path) -> None:
    live = _live(tmp_path)
    live.begin([_point(10, loss=math.nan)])
    points = [_point(10), _point(20, loss=math.nan, grad_norm=math.inf), _point(30)]
    live.begin([])
    for point in points:
        live.add(point)
    assert [step for step, _ in _plots(tmp_path)["loss"]] == [10, 30]
    assert _plots(tmp_path) == _scalars(_board(tmp_path)) == _expected(points)
    live.begin(points[:2])
    text = (tmp_path / "live" / SUMMARY).read_text()
    summary = json.loads(text, parse_constant=pytest.fail)
    assert summary["loss"] == 10 / 1024


def test_it_says_nothing_asks_nobody_and_touches_no_repository(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In a repository of git alone, with a token for DVC's server at hand, and as if in `dvc exp`."""
    subprocess.run(["git", "init", "-q"], check=True)
    before = _bytes(workspace / ".git")
    for name in ("DVC_STUDIO_TOKEN", "DVC_EXP_BASELINE_REV"):
        monkeypatch.setenv(name, "0" * 40)
    monkeypatch.setenv("DVC_STUDIO_REPO_URL", "git@localhost:x/y.git")
    monkeypatch.setenv("DVC_ROOT", str(workspace))
    asked: list[Any] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *where, **how: asked.append(where))
    monkeypatch.setattr(socket.socket, "connect", lambda *where: asked.append(where))
    live = _live(workspace)
    _run(live, 2)
    live.end()
    assert {path.name for path in workspace.iterdir()} == {".git", "live", "board"}
    assert not list((workspace / "live").rglob("dvc.yaml"))
    assert _bytes(workspace / ".git") == before
    assert not asked
    assert capfd.readouterr() == ("", "")


STAGE = """
from pathlib import Path
from drdd.cluster.live import Live
live = Live(Path("results/live"), Path("board"))
live.begin([])
for n in (1, 2, 3):
    live.add({"images": 16 * n, "loss": 1 / n, "loss/haze": 2 / n, "psnr": 20.0 + n})
live.end()
"""
PIPELINE = """
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    metrics: [results/live/metrics.json]
    plots:
      - results/live/plots/metrics: {x: step}
      - results/live/plots/images
"""


def test_dvc_shows_a_stage_with_these_outputs(workspace: Path) -> None:
    (workspace / "train.py").write_text(STAGE)
    (workspace / "dvc.yaml").write_text(PIPELINE)
    (workspace / ".gitignore").write_text("/results/\n/board/\n")
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    must(workspace, "git", "init", "-q")
    must(workspace, "dvc", "init", "-q")
    must(workspace, "git", "add", "--all")
    must(workspace, "git", *identity, "commit", "-qm", "start")
    must(workspace, "dvc", "exp", "run", "-q", "--name", "run-1", PYTHONPATH=str(ROOT))
    tracked = must(workspace, "git", "status", "--porcelain").split()
    assert tracked in ([], ["??", "dvc.lock"], ["A", "dvc.lock"])

    last = {"loss": 1 / 3, "loss_of": {"haze": 2 / 3}, "psnr": 23.0, "step": 48}
    shown = json.loads(must(workspace, "dvc", "metrics", "show", "--json"))
    assert shown[""]["data"]["results/live/metrics.json"]["data"] == last

    experiments = must(workspace, "dvc", "exp", "show", "--csv")
    header, *rows = (row.split(",") for row in experiments.splitlines())
    of_run = next(dict(zip(header, row, strict=True)) for row in rows if "run-1" in row)
    assert (of_run["loss_of.haze"], of_run["step"]) == (str(2 / 3), "48")

    plots = json.loads(must(workspace, "dvc", "plots", "show", "--json"))
    assert set(plots["data"]) == {
        f"results/live/plots/metrics/{name}.tsv" for name in ("loss", "loss_of/haze", "psnr")
    }
    (drawn,) = plots["data"]["results/live/plots/metrics/loss_of/haze.tsv"]
    values = drawn["content"]["data"]["values"]
    assert [(int(v["step"]), float(v["haze"])) for v in values] == [(16, 2), (32, 1), (48, 2 / 3)]


def test_the_note_has_what_is_known() -> None:
    point = {
        "images": 3200,
        "loss": 0.12341,
        "psnr": 27.31,
        "images_per_second": 31.2,
        "waiting": 0.011,
        "utilisation": 0.43,
        "skipped": 0,
    }
    assert note(point) == "loss 0.1234  psnr 27.3 dB  31 img/s  wait 1 %  MFU 43 %"
    assert (
        note({"images": 1, "loss": math.nan, "skipped": 2, "waiting": 0}) == "wait 0 %  2 skipped"
    )
    assert note({"images": 1, "loss": 3e-6, "images_per_second": 0.31}) == "loss 3e-06  0.31 img/s"
    assert note({"images": 1}) == ""


def test_no_number_is_within_another_number() -> None:
    """In metrics.json a name before a slash is a mapping, so it cannot be a number besides."""
    keys = [*_point(1), "psnr", "psnr/haze", "psnr/psnr", "loss/all", "utilisation", "memory_gib"]
    tags = [tag(key) for key in keys]
    assert len(set(tags)) == len(tags)
    assert not {name.rpartition("/")[0] for name in tags} & set(tags)


def _row(group: str, value: int) -> ShownRow:
    pixels = np.full((16, 16, 3), value, np.uint8)
    return ShownRow(group, pixels, pixels + 1, pixels + 2, 20.0, 25.0)


def test_a_grid_shows_a_row_for_each_crop() -> None:
    rows = [_row(name, 10 * n) for n in range(2) for name in ("dark", "haze")]
    grid = draw_grid(rows)
    assert grid != draw_grid(rows[:3])
    assert draw_grid([]) == b""
    with Image.open(BytesIO(grid)) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
