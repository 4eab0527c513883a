"""Requests that are small to send and dear to answer, and clients that behave badly."""

import asyncio
import io
import logging
import re
import socket
import struct
import threading
import time
import types
import zlib
from dataclasses import replace

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from drdd.errors import UserError
from drdd.pictures.jpeg_markers import MAX_SCANS
from drdd.serving.asked import ApiLimits
from drdd.serving.http import make_api
from drdd.serving.memory import DECODING, MemoryBudget, bytes_a_pixel, memory_budget
from drdd.serving.problems import ProblemError
from drdd.serving.reading import header_of
from drdd.serving.schema import RestoreQuery
from drdd.serving.service import BusyError, ServedModel
from tests.corpora import encoded, scene
from tests.serving.broken import corpus
from tests.serving.fakes import LIMITS, SERVED, FakeService, running

PNG = encoded(Image.fromarray(scene(0, 40, 56)), "PNG")
LARGE = ApiLimits(max_megabytes=1, max_pixels=50_000_000, timeout_s=60)


def _client(api: FastAPI) -> TestClient:
    return TestClient(api, raise_server_exceptions=False, follow_redirects=False)


# --- memory


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 150)), max_size=40))
def test_reservations_never_exceed_the_budget(moves: list[tuple[int, int]]) -> None:
    budget, held = MemoryBudget(100), [0, 0, 0, 0]
    reservations = [budget.reservation() for _ in held]
    opened = [one.__enter__() for one in reservations]
    for index, size in moves:
        others = sum(held) - held[index]
        try:
            opened[index].reserve(size)
        except ProblemError:
            assert size > 100
        except BusyError:
            assert size > held[index]
            assert others + size > 100
        else:
            held[index] = size
            assert others + size <= 100
    for one in reservations:
        one.__exit__(None, None, None)
    with budget.reservation() as alone:
        alone.reserve(100)


def test_the_largest_picture_that_is_allowed_always_fits() -> None:
    for pixels in (1, 50_000_000, 10**9):
        with memory_budget(10**6, pixels).reservation() as alone:
            alone.reserve(10**6 + DECODING * pixels)


def test_states_cost_what_they_are() -> None:
    plain = bytes_a_pixel(RestoreQuery())
    usual = bytes_a_pixel(RestoreQuery(states=True))
    assert plain < usual < bytes_a_pixel(RestoreQuery(states=True, steps=20))
    assert bytes_a_pixel(RestoreQuery(steps=20)) == plain
    assert usual == bytes_a_pixel(RestoreQuery(states=True, steps=2))


def _moving_webp(side: int) -> bytes:
    """Less than 100 bytes that decode to `side` x `side` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)

    def three(number: int) -> bytes:
        return struct.pack("<I", number)[:3]

    image = io.BytesIO()
    Image.new("RGB", (16, 16)).save(image, "WEBP", lossless=True)
    frame = bytes(6) + three(15) + three(15) + three(100) + b"\x00" + image.getvalue()[12:]
    canvas = b"\x02\x00\x00\x00" + three(side - 1) + three(side - 1)
    body = b"WEBP" + chunk(b"VP8X", canvas) + chunk(b"ANIM", bytes(6)) + chunk(b"ANMF", frame)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_many_small_bodies_of_large_pictures_do_not_add_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Any one of them may be taken. While it waits to be restored, the others are told to come back."""
    monkeypatch.setattr("drdd.serving.memory.TOTAL", 0)
    bomb = _moving_webp(1000)
    assert len(bomb) < 100
    release = threading.Event()

    async def waiting() -> None:
        while not release.is_set():
            await asyncio.sleep(0.05)

    answers: list[httpx.Response] = []
    api = make_api(FakeService(instead=waiting), replace(LIMITS, max_pixels=1_000_000), {})
    with running(api) as url:

        def post() -> None:
            answers.append(httpx.post(f"{url}/v1/restore", content=bomb, timeout=60))

        threads = [threading.Thread(target=post) for _ in range(8)]
        for thread in threads:
            thread.start()
        while len(answers) < 7:
            time.sleep(0.02)
        assert {answer.status_code for answer in answers} == {503}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
        release.set()
        for thread in threads:
            thread.join()
        assert answers[-1].status_code == 200
        assert httpx.post(f"{url}/v1/restore", content=bomb, timeout=60).status_code == 200


def test_states_of_a_huge_picture_are_refused_before_it_is_decoded() -> None:
    service = FakeService()
    client = _client(make_api(service, LARGE, {}))
    answer = client.post("/v1/restore?states=true&steps=20", content=_moving_webp(7000))
    assert answer.status_code == 413
    assert "fewer steps" in answer.json()["detail"]
    assert not service.asked


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    """Each scan is some bytes to send, and goes through all of the pixels."""
    whole = encoded(Image.new("RGB", (64, 64)), "JPEG", progressive=True)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    assert header_of(whole, 10**6).size == (64, 64)
    assert header_of(whole[:-2] + last * 50 + whole[-2:], 10**6).size == (64, 64)
    with pytest.raises(ProblemError, match=f"more than {MAX_SCANS} scans"):
        header_of(whole[:-2] + last * MAX_SCANS + whole[-2:], 10**6)


def test_what_looks_like_scans_within_a_segment_is_none() -> None:
    exif = b"Exif\x00\x00" + b"\xff\xda" * 1000
    body = encoded(Image.fromarray(scene(1, 40, 40)), "JPEG", exif=exif)
    assert header_of(body, 10**6).size == (40, 40)


# --- the wire


def test_a_client_that_leaves_is_no_failure_of_the_service(
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = FakeService(instead=lambda: asyncio.sleep(30))
    with running(make_api(service, LIMITS, {})) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as line:
            head = f"POST /v1/restore HTTP/1.1\r\nHost: x\r\nContent-Length: {len(PNG)}\r\n\r\n"
            line.sendall(head.encode() + PNG)
            while not service.asked:
                time.sleep(0.01)
        assert service.cancelled.wait(30)
        while "drdd_requests_in_flight 0.0" not in (text := httpx.get(f"{url}/metrics").text):
            time.sleep(0.01)
    assert 'drdd_requests_total{model="",status="499"} 1.0' in text
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


def test_a_body_in_tiny_pieces_is_put_together() -> None:
    with running(make_api(FakeService(), LIMITS, {})) as url:
        pieces = (PNG[place : place + 7] for place in range(0, len(PNG), 7))
        answer = httpx.post(f"{url}/v1/restore", content=pieces)
    assert answer.status_code == 200


def test_there_are_no_redirects_to_where_the_client_says() -> None:
    client = _client(make_api(FakeService(), LIMITS, {}))
    for path in ("/v1/restore/", "/v1/models/"):
        answer = client.get(path, headers={"host": "evil.example"})
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


def test_no_other_origin_may_read_answers() -> None:
    client = _client(make_api(FakeService(), LIMITS, {}))
    answer = client.post("/v1/restore", content=PNG, headers={"origin": "http://evil.example"})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]


# --- the query, the keys, the models


def test_an_option_given_twice_is_refused() -> None:
    client = _client(make_api(FakeService(), LIMITS, {}))
    answer = client.post("/v1/restore?seed=1&steps=2&seed=2", content=PNG)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"where": "query.seed", "what": "given more than once"}]


def test_an_empty_key_opens_nothing() -> None:
    with pytest.raises(UserError, match="empty"):
        make_api(FakeService(), replace(LIMITS, api_keys=("good", "")), {})


def test_a_key_may_have_any_letters() -> None:
    client = _client(make_api(FakeService(), replace(LIMITS, api_keys=("schlüssel",)), {}))
    for name, value in (("X-API-Key", "schlüssel"), ("Authorization", "Bearer schlüssel")):
        headers = {name.encode(): value.encode()}
        answer = client.post("/v1/restore", content=PNG, headers=headers)
        assert answer.status_code == 200


def test_keys_are_told_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def surprise() -> None:
        raise RuntimeError("what nobody foresaw")

    api = make_api(FakeService(instead=surprise), replace(LIMITS, api_keys=("k3y-of-mine",)), {})
    client = _client(api)
    said = ""
    for key in ("k3y-of-mine", "k3y-of-another"):
        answer = client.post("/v1/restore", content=PNG, headers={"X-API-Key": key})
        said += answer.text + str(answer.headers)
    said += client.get("/metrics").text + client.get("/openapi.json").text
    assert "RuntimeError" in caplog.text
    assert "k3y" not in said + caplog.text


def test_metrics_of_a_model_may_be_read_only_and_hold_no_number() -> None:
    class Frozen(FakeService):
        def models(self) -> list[ServedModel]:
            return [replace(SERVED, metrics=types.MappingProxyType({"psnr": float("nan")}))]

    answer = _client(make_api(Frozen(), LIMITS, {})).get("/v1/models")
    assert answer.json()["models"][0]["metrics"] == {"psnr": None}


def test_colours_are_kept_in_jpeg() -> None:
    """Red and blue columns of one pixel would melt together if colour were halved."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2, 0], stripes[:, 1::2, 2] = 255, 255
    client = _client(make_api(FakeService(), LIMITS, {}))
    body = encoded(Image.fromarray(stripes), "PNG")
    answer = client.post("/v1/restore?format=jpeg", content=body)
    found = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")).astype(int)
    assert np.abs(found - stripes).mean() < 20


def test_every_refusal_of_the_corpus_is_in_words_for_people() -> None:
    client = _client(make_api(FakeService(), LIMITS, {}))
    for name, body, allowed in corpus():
        if 200 in allowed:
            continue
        detail = client.post("/v1/restore", content=body).json()["detail"]
        assert re.match(r"the (body|picture|JPEG) ", detail), (name, detail)
        assert "Traceback" not in detail
        assert " at 0x" not in detail  # the name of an object in memory


def test_a_compressed_body_is_no_picture() -> None:
    client = _client(make_api(FakeService(), LIMITS, {}))
    headers = {"content-encoding": "deflate"}
    answer = client.post("/v1/restore", content=zlib.compress(PNG), headers=headers)
    assert answer.status_code == 422
