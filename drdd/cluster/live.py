"""The live numbers of a run: files in DVCLive's format, TensorBoard's events, a note for the terminal.

The step of every number and picture is the images seen until then. In both places a number has the
name that `tag` gives it; one that is not finite is left out, so a plot has a gap there.
"""

import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tensorboardX import RecordWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from drdd.drawing.sheets import Cell, sheet
from drdd.files import write_bytes, write_json
from drdd.pictures.files import png
from drdd.pictures.pixels import Pixels
from drdd.training.points import TIMED, Point

PICTURE = "validation"
_BY_GROUP = ("loss", "psnr")
_OF_STEPS = ("grad_norm", "learning_rate", "skipped")
_RGB = 3  # the code of TensorBoard's image summary
GRID_COLUMNS = ("input", "output", "target")
GRID_ROWS = 8
GRID_CELL = (192, 192)


@dataclass(frozen=True)
class ShownRow:
    """A validated crop: (H, W, 3) uint8 each, and their PSNR to the target in dB."""

    group: str
    start: Pixels
    output: Pixels
    target: Pixels
    start_psnr: float
    output_psnr: float


class Live:
    """folder: of files as DVCLive writes them, emptied by `begin`: metrics.json has the last value of
    each number, plots/metrics/<tag>.tsv all of them, plots/images/validation.png the last grid.

    board: TensorBoard's, of this run alone. The grids of its validations lie there too, as
    <images>.png, because a history has none: so a resumed run shows its earlier ones again.
    Every method raises OSError when a disk is full.
    """

    _events: "_Events"

    def __init__(self, folder: Path, board: Path) -> None:
        self._folder, self._board = folder, board
        self._summary: dict[str, Any] = {}
        self._open = ExitStack()

    def begin(self, history: Sequence[Point]) -> None:
        """A run begins, goes on, or went back: from here on it has written `history` and no more.

        metrics.json and both folders of plots exist afterwards, if empty.
        """
        self.end()
        shutil.rmtree(self._folder, ignore_errors=True)
        for path in self._board.glob("events.*"):
            # An open TensorBoard waits for ever for the rest of a file that it cannot find any more.
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
        """One more point of the run that `begin` began; grid: the PNG of a validation, RGB."""
        if grid:
            write_bytes(self._grid(point), grid)
        self._show(point, grid)
        self._commit()

    def end(self) -> None:
        """Nothing follows; calling it again does nothing."""
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
    """A new event file. It is written by the caller's own thread: a full disk fails, and never hangs."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._records = RecordWriter(str(folder / f"events.out.tfevents.{time.time_ns()}"))
        self._write(Event(file_version="brain.Event:2"))
        # A TensorBoard that is open forgets all steps from this one on, which a former file had.
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
    """A PNG of GRID_ROWS rows at most: the first row of every group, then the second of every group."""
    seen: Counter[str] = Counter()
    turns = []
    for row in rows:
        turns.append((seen[row.group], row.group, _cells(row)))
        seen[row.group] += 1
    chosen = sorted(turns, key=lambda turn: turn[:2])[:GRID_ROWS]
    drawn = sheet(GRID_COLUMNS, [(group, cells) for _, group, cells in chosen], GRID_CELL)
    return png(np.asarray(drawn))


def _cells(row: ShownRow) -> list[Cell]:
    """In the order of GRID_COLUMNS."""
    return [
        (row.start, f"{row.start_psnr:.1f} dB"),
        (row.output, f"{row.output_psnr:.1f} dB"),
        (row.target, ""),
    ]


def tag(key: str) -> str:
    """A number's name: TensorBoard groups by what is before the slash, DVC nests by it.

    So loss/<group> becomes loss_of/<group> (loss itself is a number, and nothing can be within it),
    and the rest are grouped: optimizer/learning_rate, speed/images_per_second.
    """
    kind, _, group = key.partition("/")
    if group and kind in _BY_GROUP:
        return f"{kind}_of/{group}"
    if key in _OF_STEPS:
        return f"optimizer/{key}"
    return f"speed/{key}" if key in TIMED else key


def note(point: Point) -> str:
    """For the terminal, such as "loss 0.1234  psnr 27.3 dB  31 img/s  wait 1 %  MFU 43 %".

    What is missing or not finite is left out, and so is a count of skipped steps that is 0.
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
    """At least as many of them as are needed below 10: 0.31, 3.1, 31, 3120."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _step(point: Point) -> int:
    return round(point["images"])


def _scalars(point: Point) -> dict[str, float]:
    """By tag, those that are finite."""
    return {
        tag(key): float(value)
        for key, value in point.items()
        if key != "images" and math.isfinite(value)
    }


def _picture(png: bytes) -> Summary.Value:
    width, height = Image.open(BytesIO(png)).size
    image = Summary.Image(height=height, width=width, colorspace=_RGB, encoded_image_string=png)
    return Summary.Value(tag=PICTURE, image=image)
