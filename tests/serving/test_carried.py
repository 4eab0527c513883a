"""What a picture carries, over HTTP: its answer is read by others than wrote it."""

import asyncio
import io
import zlib
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import ExifTags, Image, ImageCms

from drdd.formats.writing import encoded as written_with
from drdd.inference.engine import Restorer
from drdd.inference.options import Options
from drdd.params import Serve
from drdd.pictures.code_points import profile_of
from drdd.pictures.files import png_chunk, quick_png
from drdd.pictures.pixels import Pixels
from drdd.serving.asked import opened
from drdd.serving.http import make_api
from drdd.serving.memory import MemoryBudget
from drdd.serving.models import Models, load_checked
from drdd.serving.published import FromFolder
from drdd.serving.reading import Sent
from drdd.serving.restoring import Restoring
from drdd.serving.schema import RestoreQuery
from tests.corpora import encoded, scene
from tests.formats.samples import Base, Gps, Photo, camera_exif, image_of, read, samples_of_png
from tests.inference.test_engine import make_model
from tests.serving.fakes import LIMITS
from tests.serving.test_scales import WAYS, _by

RNG = np.random.default_rng(0)
PICTURE = scene(0, 40, 56)
ALPHA = RNG.integers(0, 256, (40, 56), dtype=np.uint8)
DEEP = (scene(2, 40, 56).astype(np.uint16) * 257 + RNG.integers(0, 200, (40, 56, 3))).astype("u2")
P3 = profile_of(12, 1)
JSON = "answer=json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"), scales=(1, 2))


@pytest.fixture(scope="module")
def restorer(folder: Path) -> Restorer:
    return Restorer.from_folder(folder)


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    models = Models(["champion"], FromFolder(folder), load_checked)
    models.start()
    with TestClient(make_api(Restoring(models, Serve()), LIMITS, {})) as asking:
        yield asking


def _asked(client: TestClient, way: str, query: str, body: bytes, **files: bytes) -> Any:
    given = {"files": {"image": ("a", body), **files}} if files else {"content": body}
    answer = _by(way, client, query, **given)
    assert answer.status_code == 200, answer.text
    return answer


def _file(client: TestClient, way: str, query: str, body: bytes) -> tuple[bytes, list[str]]:
    """The picture of an answer, and its notes, whether it is the answer or within JSON."""
    answer = _asked(client, way, query, body)
    notes = answer.headers.get("X-Notes", "")
    if "json" not in query:
        return answer.content, notes.split("; ") if notes else []
    told = answer.json()
    assert notes == "; ".join(told["notes"])
    return b64decode(told["output"].removeprefix("data:image/png;base64,")), told["notes"]


def _as_saved(pixels: Pixels, query: str) -> Pixels:
    """What Pillow makes of it with the settings that the page names."""
    _, _, format_ = query.partition("format=")
    if not format_:
        return pixels
    options = {"quality": 95} | ({"subsampling": 0} if format_ == "jpeg" else {})
    content = encoded(Image.fromarray(pixels), format_.upper(), **options)
    return np.asarray(image_of(content))


def _with_profile(content: bytes, profile: bytes) -> bytes:
    chunk = png_chunk(b"iCCP", b"any name\0\0" + zlib.compress(profile))
    return content[:33] + chunk + content[33:]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("query", ["", "format=jpeg", "format=webp", JSON])
def test_exif_is_there_and_its_orientation_is_applied_once(
    client: TestClient, restorer: Restorer, way: str, query: str
) -> None:
    body = encoded(Image.fromarray(PICTURE), "PNG", exif=camera_exif(6))
    content, notes = _file(client, way, query, body)
    image = image_of(content)
    assert image.size == (40, 56)
    upright = restorer.restore(np.rot90(PICTURE, -1)).output
    assert np.array_equal(np.asarray(image), _as_saved(upright, query))
    exif = image.getexif()
    assert (exif[Base.Orientation], exif[Base.Model], exif[Base.Artist]) == (
        1,
        "Model 5",
        "A. Person",
    )
    assert exif.get_ifd(Gps)[ExifTags.GPS.GPSLatitude] == (48.0, 30.0, 15.5)
    photo = exif.get_ifd(Photo)
    assert (photo[Base.ExifImageWidth], photo[Base.ExifImageHeight]) == (40, 56)
    assert notes == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("format_", ["png", "jpeg", "webp", "json"])
@pytest.mark.parametrize("metadata", ["anonymous", "none"])
def test_what_identifies_is_dropped_on_request(
    client: TestClient, way: str, format_: str, metadata: str
) -> None:
    how = JSON if format_ == "json" else f"format={format_}"
    body = encoded(Image.fromarray(PICTURE), "JPEG", exif=camera_exif(), quality=90)
    content, _ = _file(client, way, f"metadata={metadata}&{how}", body)
    exif = image_of(content).getexif()
    assert not exif.get_ifd(Gps)
    assert (exif.get(Base.Model) == "Model 5") == (metadata == "anonymous")
    for secret in (b"A. Person", b"SN12345", b"secret", b"MAKER", b"my garden"):
        assert secret in body
        assert secret not in content


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("query", ["", "format=webp", JSON, "samples=2"])
def test_alpha_is_as_it_was(client: TestClient, way: str, query: str) -> None:
    body = encoded(Image.fromarray(np.dstack([PICTURE, ALPHA])), "PNG")
    content, notes = _file(client, way, query, body)
    image = image_of(content)
    assert image.mode == "RGBA"
    assert np.array_equal(np.asarray(image)[..., 3], ALPHA)
    assert notes == []


@pytest.mark.parametrize("way", WAYS)
def test_a_jpeg_is_on_white_and_says_so(client: TestClient, way: str) -> None:
    clear = np.dstack([np.zeros_like(PICTURE), np.zeros_like(ALPHA)])
    body = encoded(Image.fromarray(clear), "PNG")
    content, notes = _file(client, way, "format=jpeg", body)
    assert image_of(content).mode == "RGB"
    assert any("white" in one for one in notes)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("format_", ["png", "jpeg", "webp"])
def test_a_print_is_as_large_as_it_was(client: TestClient, way: str, format_: str) -> None:
    body = encoded(Image.fromarray(PICTURE), "PNG", dpi=(300, 150))
    for scale in (1, 2):
        content, _ = _file(client, way, f"scale={scale}&format={format_}", body)
        image = image_of(content)
        assert image.size == (56 * scale, 40 * scale)
        exif = image.getexif()
        dpi = image.info.get("dpi") or (exif[Base.XResolution], exif[Base.YResolution])
        assert [float(one) for one in dpi] == pytest.approx([300 * scale, 150 * scale], abs=0.1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("query", ["", "format=jpeg", "format=webp", JSON])
def test_a_profile_is_converted_and_said_or_kept(
    client: TestClient, restorer: Restorer, way: str, query: str
) -> None:
    soft = PICTURE // 4 + 96  # of which sRGB holds all
    body = _with_profile(quick_png(soft), P3)
    content, notes = _file(client, way, query, body)
    image = image_of(content)
    assert notes == ["Display P3 -> sRGB"]
    assert "icc_profile" not in image.info
    lossless = query in ("", JSON)
    expected = restorer.restore(read(body).pixels).output
    assert np.array_equal(np.asarray(image), _as_saved(expected, query))
    kept, notes = _file(client, way, f"{query}&profile=keep", body)
    assert notes == []
    assert image_of(kept).info["icc_profile"] == P3
    back = np.asarray(
        ImageCms.profileToProfile(
            image_of(kept),
            ImageCms.ImageCmsProfile(io.BytesIO(P3)),
            ImageCms.createProfile("sRGB"),
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
    )
    difference = np.abs(back.astype(int) - np.asarray(image))
    assert difference.max() <= 2 if lossless else difference.mean() < 16


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("query", ["", JSON, "states=true", "scale=2"])
def test_sixteen_bits_are_kept(
    client: TestClient, restorer: Restorer, way: str, query: str
) -> None:
    wanted = restorer.restore(DEEP, Options(scale=2 if "scale" in query else 1)).output
    body = quick_png(DEEP)
    if query == "states=true":
        told = _asked(client, way, query, body).json()
        content = b64decode(told["output"].partition(",")[2])
        states = [b64decode(one["image"].partition(",")[2]) for one in told["states"]]
        assert {(image_of(one).mode, samples_of_png(one).dtype.itemsize) for one in states} == {
            ("RGB", 1)
        }
    else:
        content, notes = _file(client, way, query, body)
        assert notes == []
    found = samples_of_png(content)
    assert found.dtype.itemsize == 2
    assert np.array_equal(found, wanted)
    eight, notes = _file(client, way, "depth=8", body)
    assert samples_of_png(eight).dtype.itemsize == 1
    deep, _ = _file(client, way, "depth=16", quick_png(PICTURE))
    assert samples_of_png(deep).dtype.itemsize == 2
    _, notes = _file(client, way, "format=webp", body)
    assert notes == ["16 bits -> 8, as WEBP has"]


@pytest.mark.parametrize("way", WAYS)
def test_outside_a_mask_sixteen_bits_and_alpha_are_the_pictures(
    client: TestClient, way: str
) -> None:
    hole = np.zeros((40, 56), np.uint8)
    hole[10:20, 12:40] = 255
    layers = np.dstack([DEEP, ALPHA.astype(np.uint16) * 257 + 3 * (ALPHA < 200)]).astype("u2")
    mask = encoded(Image.fromarray(hole), "PNG")
    for profile in (b"", P3):
        body = _with_profile(quick_png(layers), profile) if profile else quick_png(layers)
        answer = _asked(client, way, "profile=keep", body, mask=("mask", mask))  # type: ignore[arg-type]
        found = samples_of_png(answer.content)
        assert np.array_equal(found[hole == 0], layers[hole == 0])
        assert not np.array_equal(found[hole > 0], layers[hole > 0])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["metadata", "profile", "depth"])
def test_a_value_that_is_none_is_named(client: TestClient, way: str, name: str) -> None:
    body = encoded(Image.fromarray(PICTURE), "PNG")
    for wrong in ("all,none", "", "ALL", "17", "8.0", "Keep", f"all&{name}=all"):
        answer = client.post(f"/v1/{way}?{name}={wrong}", content=body)
        assert answer.status_code == 422, wrong
        assert name in answer.json()["errors"][0]["where"]


@pytest.mark.parametrize("way", WAYS)
def test_a_depth_that_the_format_does_not_hold_is_refused(client: TestClient, way: str) -> None:
    body = encoded(Image.fromarray(PICTURE), "PNG")
    for format_ in ("jpeg", "webp"):
        answer = client.post(f"/v1/{way}?depth=16&format={format_}", content=body)
        assert answer.status_code == 422
        assert f"{format_.upper()} has 8 bits a channel, not 16" in answer.json()["detail"]
    assert _asked(client, way, "depth=16&format=jpeg&answer=json", body).json()["output"]


def test_a_note_is_a_header_whatever_a_profile_is_called(client: TestClient) -> None:
    """Names are UTF-16 in a profile of version 4; a header has ASCII alone."""
    named = P3.replace(b"made", b"m\xc3\xa4de") if b"made" in P3 else P3
    for profile in (P3, named, P3[:200]):
        body = _with_profile(quick_png(PICTURE), profile)
        answer = client.post("/v1/restore", content=body)
        assert answer.status_code == 200
        assert answer.headers.get("X-Notes", "").isascii()


@pytest.mark.parametrize("query", ["", JSON])
def test_memory_is_reserved_for_what_a_tiny_picture_carries(query: str) -> None:
    """Else a thousand such requests would hold gigabytes."""
    exif = Image.Exif()
    exif.get_ifd(Photo)[Base.MakerNote] = bytes(500_000)
    body = encoded(Image.new("RGB", (1, 1)), "PNG", exif=exif.tobytes())
    memory = MemoryBudget(10**8)

    async def test() -> None:
        asked = RestoreQuery.model_validate(dict([query.split("=")] if query else []))
        with memory.reservation() as mine:
            picture = await opened(Sent(body), asked, 1, LIMITS, mine)
            assert mine.size > (9 if query else 5) * 500_000
            written = written_with(picture.pixels, picture.carried, asked.keeping(), "PNG")
            assert len(written.content) > 500_000

    asyncio.run(test())


def test_the_document_names_the_options(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    for way in WAYS:
        given = {one["name"]: one for one in document["paths"][f"/v1/{way}"]["post"]["parameters"]}
        values = {name: given[name]["schema"]["enum"] for name in ("metadata", "profile", "depth")}
        assert values == {
            "metadata": ["all", "anonymous", "none"],
            "profile": ["srgb", "keep"],
            "depth": ["8", "16", "input"],
        }
    answer = document["paths"]["/v1/restore"]["post"]["responses"]["200"]
    assert "X-Notes" in answer["headers"]
