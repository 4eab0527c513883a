"""A mask sent beside the picture: what it marks is filled, everything else comes back to the bit."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from drdd.inference.engine import Restorer
from drdd.serving.http import make_api
from tests.corpora import encoded, scene
from tests.inference.test_engine import make_model
from tests.serving.fakes import LIMITS, FakeService

PICTURE = scene(0, 40, 56)
PNG = encoded(Image.fromarray(PICTURE), "PNG")
HOLE = np.zeros((40, 56), bool)
HOLE[10:20, 12:40] = True


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    service = FakeService(Restorer.from_folder(make_model(tmp_path)))
    return TestClient(make_api(service, LIMITS, {}), raise_server_exceptions=False)


def _mask(hole: NDArray[Any], format_: str = "PNG") -> bytes:
    return encoded(Image.fromarray(hole.astype(np.uint8) * 255), format_)


def _frames() -> bytes:
    buffer = io.BytesIO()
    first, second = (Image.fromarray(hole.astype(np.uint8) * 255) for hole in (HOLE, ~HOLE))
    first.save(buffer, "WEBP", save_all=True, append_images=[second], lossless=True)
    return buffer.getvalue()


def _sent(client: TestClient, **parts: Any) -> Any:
    return client.post("/v1/restore", files={name: (name, part) for name, part in parts.items()})


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_outside_the_mask_the_answer_is_the_picture(client: TestClient, format_: str) -> None:
    answer = _sent(client, image=PNG, mask=_mask(HOLE, format_))
    assert answer.status_code == 200, answer.text
    restored = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert np.array_equal(restored[~HOLE], PICTURE[~HOLE])
    plain = np.asarray(Image.open(io.BytesIO(_sent(client, image=PNG).content)))
    assert not np.array_equal(plain[~HOLE], PICTURE[~HOLE]), "without a mask all is restored"


def test_what_is_nearer_to_white_is_filled(client: TestClient) -> None:
    greys = np.where(HOLE, 130, 120).astype(np.uint8)
    answers = [
        _sent(client, image=PNG, mask=mask).content
        for mask in (_mask(HOLE), encoded(Image.fromarray(greys), "PNG"))
    ]
    assert answers[0] == answers[1]


def _with_alpha() -> bytes:
    layers = np.dstack([np.full((*HOLE.shape, 3), 255, np.uint8), HOLE.astype(np.uint8) * 255])
    return encoded(Image.fromarray(layers), "PNG")


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (
            _mask(HOLE[:, :-1]),
            "it has 55 x 40 pixels, and the picture, once upright, 56 x 40",
        ),
        (_mask(HOLE.T), "it has 40 x 56 pixels"),
        (_mask(HOLE & False), "black all over"),
        (_with_alpha(), "it has transparent pixels"),
        (_frames(), "it has several pictures, and a mask is one"),
        (b"", "the mask is empty"),
        (b"no picture", "the mask cannot be used"),
        (PNG[:200], "the mask cannot be used"),
    ],
)
def test_a_mask_that_cannot_be_used_is_said(client: TestClient, mask: bytes, said: str) -> None:
    answer = _sent(client, image=PNG, mask=mask)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_a_part_that_is_none_of_the_two_is_refused(client: TestClient) -> None:
    for parts in ({"Mask": _mask(HOLE)}, {"masks": _mask(HOLE)}):
        answer = _sent(client, image=PNG, **parts)
        assert answer.status_code == 422
        assert "'image' and may have 'mask'" in answer.json()["detail"]
    files = [("image", ("a.png", PNG)), ("image", ("b.png", PNG))]
    assert client.post("/v1/restore", files=files).status_code == 422
    masks = [("image", ("a.png", PNG)), *[("mask", ("m.png", _mask(HOLE)))] * 2]
    told = client.post("/v1/restore", files=masks)
    assert told.status_code == 422
    assert "'mask', each once" in told.json()["detail"]
    told = client.post("/v1/restore", files={"image": ("a.png", PNG)}, data={"steps": "3"})
    assert told.status_code == 422
    assert "query" in told.json()["detail"]
