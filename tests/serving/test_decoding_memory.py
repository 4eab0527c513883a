"""What the service reserves for a picture is what the costliest kinds take, from reading to writing."""

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from drdd.pictures.code_points import profile_of
from drdd.pictures.files import png_chunk, quick_png
from drdd.serving.memory import Kind, bytes_a_pixel, bytes_decoding
from drdd.serving.schema import RestoreQuery
from tests.conftest import ROOT
from tests.pictures.pngs import COUNT, GREY, RGBA, chunk

SIDE = 1600
P3 = profile_of(12, 1)
MEASURED = """
import gc, json, sys
from pathlib import Path
from drdd.inference.given import taken
from drdd.formats.writing import encoded
from drdd.serving.reading import header_of, source_of
from drdd.serving.schema import RestoreQuery

small, large = (Path(name).read_bytes() for name in sys.argv[1:3])
query, scale = RestoreQuery.model_validate(json.loads(sys.argv[3])), int(sys.argv[4])

def kib(name):
    return int(Path("/proc/self/status").read_text().split(name)[1].split()[0])

def grown(act):  # at most, while it runs
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what is used now
    before = kib("VmRSS:")
    return act(), 1024 * (kib("VmHWM:") - before)

def measure(content):
    source, decoding = grown(lambda: source_of(header_of(content, 10**9), query.keeping(), query.written))
    given = taken(source.pixels, None, None, scale)
    def restore_and_write():
        output = given.output(given.original.copy())
        encoded(output, source.carried, query.keeping(), query.written)
    beyond = source.carried.beyond
    held = source.pixels.nbytes + (0 if beyond is None else beyond.nbytes)
    pixels = source.pixels.shape[0] * source.pixels.shape[1]
    _, writing = grown(restore_and_write)
    enlarged = given.original.nbytes if scale > 1 else 0
    return decoding / pixels, (held + enlarged + writing) / pixels / scale**2

measure(small)
print(*measure(large))
"""


def _zeros(kind: int, depth: int, side: int, linear: bool) -> bytes:
    row = bytes(1 + side * COUNT[kind] * depth // 8)
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, depth, kind, 0, 0, 0)
    gamma = chunk(b"gAMA", struct.pack(">I", 100_000)) if linear else b""
    chunks = chunk(b"IHDR", head) + gamma + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _noise(channels: int, depth: int, side: int) -> bytes:
    """Which no file makes smaller. In Display P3."""
    levels = np.random.default_rng(0).integers(0, 2**depth, (side, side, channels))
    content = quick_png(levels.astype(np.uint8 if depth == 8 else np.uint16))
    profile = png_chunk(b"iCCP", b"P3\0\0" + zlib.compress(P3))
    return content[:33] + profile + content[33:]


def _measured(
    tmp_path: Path, small: bytes, large: bytes, query: str = "{}", scale: int = 1
) -> tuple[float, float]:
    """Bytes a pixel: of reading; of the output, from reading to writing."""
    names = []
    for name, content in (("small", small), ("large", large)):
        (tmp_path / name).write_bytes(content)
        names.append(str(tmp_path / name))
    command = [sys.executable, "-c", MEASURED, *names, query, str(scale)]
    # Else the library keeps some of what is freed, by chance.
    environment = os.environ | {"MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    decoding, writing = map(float, ran.stdout.split())
    return decoding, writing


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize(("kind", "depth"), [(GREY, 16), (RGBA, 8), (RGBA, 16)])
def test_no_kind_of_png_takes_more_than_is_reserved(
    kind: int, depth: int, linear: bool, tmp_path: Path
) -> None:
    small, large = (_zeros(kind, depth, side, linear) for side in (64, SIDE))
    decoding, _ = _measured(tmp_path, small, large)
    assert 3 < decoding < bytes_decoding(1, Kind())


@pytest.mark.parametrize(
    ("channels", "depth", "query", "scale", "kind"),
    [
        (3, 8, "{}", 1, Kind(3, 8)),
        (4, 8, "{}", 2, Kind(4, 8)),
        (3, 16, "{}", 1, Kind(3, 16)),
        (4, 16, "{}", 1, Kind(4, 16)),
        (4, 8, '{"depth": "16"}', 1, Kind(4, 16)),
        (4, 16, '{"depth": "8"}', 1, Kind(4, 8)),
        (3, 8, '{"profile": "keep"}', 2, Kind(3, 8, beyond=True)),
        (4, 16, '{"profile": "keep"}', 1, Kind(4, 16, beyond=True)),
        (4, 8, '{"profile": "keep", "format": "webp"}', 1, Kind(4, 8, beyond=True)),
        (3, 8, '{"format": "webp"}', 1, Kind(3, 8)),
        (4, 16, '{"format": "jpeg"}', 1, Kind(3, 8)),
    ],
)
def test_what_an_output_keeps_takes_no_more_than_is_reserved(
    channels: int, depth: int, query: str, scale: int, kind: Kind, tmp_path: Path
) -> None:
    small, large = (_noise(channels, depth, side) for side in (64, SIDE // scale))
    decoding, writing = _measured(tmp_path, small, large, query, scale)
    asked = RestoreQuery.model_validate_json(query)
    assert kind.size < decoding < bytes_decoding(1, kind)
    reserved = bytes_a_pixel(asked, kind) + (kind.size / scale**2 if scale > 1 else 0)
    assert 2 * kind.size < writing < reserved
