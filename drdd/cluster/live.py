"""The live metrics of a run: files in DVCLive's format, TensorBoard events, a note for the terminal.

The step of every metric and picture is the number of images seen. Metrics are named by `tag`. Non-finite
values are left out, so plots have gaps there.
"""

import math
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
from tensorboardX import RecordWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from drdd.drawing.sheets import sheet
from drdd.files import write_bytes, write_json
from drdd.pictures.files import png
from drdd.pictures.opening import open_picture
from drdd.training.history import TIMED, Point
from drdd.training.validation import ShownRow

PICTURE = "validation"
_BY_GROUP = ("loss", "psnr")
_OF_STEPS = ("grad_norm", "learning_rate", "skipped")
_RGB = 3  # the code of TensorBoard's image summary
COLUMNS = ("input", "output", "target")
CELL = (192, 192)


class Live:
    """Writes live metrics.

    folder: files as DVCLive writes them, emptied by `begin`: metrics.json has the last values,
    plots/metrics/<tag>.tsv all values, plots/images/validation.png the last grid.
    board: TensorBoard's folder of this run. It also keeps the validation grids as <images>.png, so that a
    resumed run can show them again; the history of points has no grids.
    Every method raises OSError when a disk is full.
    """

    _events: "_Events"

    def __init__(self, folder: Path, board: Path) -> None:
        self._folder, self._board = folder, board
        self._summary: dict[str, Any] = {}
        self._open = ExitStack()

    def begin(self, history: Sequence[Point]) -> None:
        """Begin or resume a run: replace all that was written by `history`.

        metrics.json and both folders of plots exist afterwards, even if empty.
        """
        self.end()
        shutil.rmtree(self._folder, ignore_errors=True)
        for path in self._board.glob("events.*"):
            # An open TensorBoard would wait forever for the rest of a deleted file.
            os.truncate(path, 0)
        for path in set(self._board.glob("*.png")) - {self._grid(point) for point in history}:
            path.unlink()
        self._summary = {}
        for name in ("metrics", "images"):
            (self._folder / "plots" / name).mkdir(parents=True)
        self._events = self._open.enter_context(closing(_Events(self._board)))
        for point in history:
            path = self._grid(point)
            self._show(point, path.read_bytes() if path.exists() else b"")
        self._commit()

    def add(self, point: Point, grid: bytes = b"") -> None:
        """Add a point. grid: the PNG of a validation, RGB, or empty."""
        if grid:
            write_bytes(self._grid(point), grid)
        self._show(point, grid)
        self._commit()

    def end(self) -> None:
        """End the run. Calling it again does nothing."""
        self._open.close()

    def _grid(self, point: Point) -> Path:
        return self._board / f"{_step(point):010d}.png"

    def _show(self, point: Point, grid: bytes) -> None:
        for name, value in _scalars(point).items():
            self._log(name, _step(point), value)
        values = [Summary.Value(tag=n, simple_value=v) for n, v in _scalars(point).items()]
        if grid:
            write_bytes(self._folder / "plots/images" / f"{PICTURE}.png", grid)
            values.append(_picture(grid))
        self._events.add(_step(point), values)

    def _log(self, name: str, step: int, value: float) -> None:
        group, _, last = name.rpartition("/")
        path = self._folder / f"plots/metrics/{name}.tsv"
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as file:
            if not file.tell():
                file.write(f"step\t{last}\n")
            file.write(f"{step}\t{value}\n")
        values = self._summary.setdefault(group, {}) if group else self._summary
        values[last] = value
        self._summary["step"] = step

    def _commit(self) -> None:
        write_json(self._folder / "metrics.json", self._summary)
        self._events.flush()


class _Events:
    """A new event file, written in the caller's thread, so that a full disk raises an error."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._records = RecordWriter(str(folder / f"events.out.tfevents.{time.time_ns()}"))
        self._write(Event(file_version="brain.Event:2"))
        # An open TensorBoard drops the steps of earlier files from this one on.
        self._write(Event(step=0, session_log=SessionLog(status=SessionLog.START)))

    def add(self, step: int, values: Iterable[Summary.Value]) -> None:
        self._write(Event(step=step, summary=Summary(value=values)))

    def flush(self) -> None:
        self._records.flush()

    def close(self) -> None:
        self._records.close()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())


def draw_grid(rows: Sequence[ShownRow]) -> bytes:
    """A PNG file with one row for each of `rows`, or b"" without any."""
    if not rows:
        return b""
    cells = [
        (
            row.group,
            [
                (row.before, f"{row.before_psnr:.1f} dB"),
                (row.output, f"{row.output_psnr:.1f} dB"),
                (row.target, ""),
            ],
        )
        for row in rows
    ]
    return png(np.asarray(sheet(COLUMNS, cells, CELL)))


def tag(key: str) -> str:
    """The name of a metric. TensorBoard groups, and DVC nests, by the part before the slash.

    So loss/<group> becomes loss_of/<group>, because `loss` itself is a metric, and the others are grouped:
    optimizer/learning_rate, speed/images_per_second.
    """
    kind, _, group = key.partition("/")
    if group and kind in _BY_GROUP:
        return f"{kind}_of/{group}"
    if key in _OF_STEPS:
        return f"optimizer/{key}"
    return f"speed/{key}" if key in TIMED else key


def note(point: Point) -> str:
    """A line for the terminal, such as "loss 0.1234  psnr 27.3 dB  31 img/s  wait 1 %  MFU 43 %".

    Missing and non-finite values are left out, and so are skipped steps if there are none.
    """
    known = {key: value for key, value in point.items() if math.isfinite(value)}
    words = {
        "loss": lambda value: f"loss {value:.4g}",
        "psnr": lambda value: f"psnr {value:.1f} dB",
        "images_per_second": lambda value: f"{_two_digits(value)} img/s",
        "waiting": lambda value: f"wait {100 * value:.0f} %",
        "utilisation": lambda value: f"MFU {100 * value:.0f} %",
        "skipped": lambda value: f"{value:.0f} skipped" if value else "",
    }
    parts = (say(known[key]) for key, say in words.items() if key in known)
    return "  ".join(part for part in parts if part)


def _two_digits(value: float) -> str:
    """The value with at least two significant digits: 0.31, 3.1, 31, 3120."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _step(point: Point) -> int:
    return round(point["images"])


def _scalars(point: Point) -> dict[str, float]:
    """The finite values of a point, by tag."""
    return {
        tag(key): float(value)
        for key, value in point.items()
        if key != "images" and math.isfinite(value)
    }


def _picture(png: bytes) -> Summary.Value:
    width, height = open_picture(png).size
    image = Summary.Image(height=height, width=width, colorspace=_RGB, encoded_image_string=png)
    return Summary.Value(tag=PICTURE, image=image)
