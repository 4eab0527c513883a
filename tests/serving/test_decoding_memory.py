"""What the service reserves for the decoding of a picture is what the costliest kinds take."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from drdd.serving.memory import DECODING
from tests.conftest import ROOT
from tests.pictures.pngs import COUNT, GREY, RGBA, chunk

SIDE = 3000
MEASURED = """
import sys
from pathlib import Path
from drdd.serving.reading import pixels_of
small, large = (Path(name).read_bytes() for name in sys.argv[1:])
def most():  # KiB so far; unlike ru_maxrss, not that of the process which started this one
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
pixels_of(small, 10**9)
before = most()
pixels = pixels_of(large, 10**9)
print((most() - before) * 1024 / (pixels.shape[0] * pixels.shape[1]))
"""


def _png(kind: int, depth: int, side: int, linear: bool) -> bytes:
    row = bytes(1 + side * COUNT[kind] * depth // 8)
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, depth, kind, 0, 0, 0)
    gamma = chunk(b"gAMA", struct.pack(">I", 100_000)) if linear else b""
    chunks = chunk(b"IHDR", head) + gamma + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize(("kind", "depth"), [(GREY, 16), (RGBA, 8), (RGBA, 16)])
def test_no_kind_of_png_takes_more_than_is_reserved(
    kind: int, depth: int, linear: bool, tmp_path: Path
) -> None:
    names = []
    for side in (64, SIDE):
        path = tmp_path / f"{side}.png"
        path.write_bytes(_png(kind, depth, side, linear))
        names.append(str(path))
    command = [sys.executable, "-c", MEASURED, *names]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert 3 < float(ran.stdout) < DECODING
