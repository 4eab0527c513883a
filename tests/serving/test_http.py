"""The API, over a service without Ray: pictures in and out, and a problem in words for all else."""

import asyncio
import io
import socket
from base64 import b64decode
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from drdd.errors import UserError
from drdd.inference.engine import Restorer
from drdd.inference.options import Options
from drdd.serving.asked import ApiLimits
from drdd.serving.http import make_api
from drdd.serving.service import BusyError
from tests.corpora import encoded, scene
from tests.inference.test_engine import make_model
from tests.serving.broken import corpus
from tests.serving.fakes import LIMITS, SERVED, FakeService, running

PICTURE = scene(0, 40, 56)
PNG = encoded(Image.fromarray(PICTURE), "PNG")


def _client(service: FakeService | None = None, limits: ApiLimits = LIMITS) -> TestClient:
    return TestClient(make_api(service or FakeService(), limits, {}), raise_server_exceptions=False)


def _pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def _problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["instance"] == answer.headers["x-request-id"]
    assert problem["detail"]
    return problem


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
def test_a_picture_comes_back_restored_in_any_format(format_: str, tmp_path: Path) -> None:
    restorer = Restorer.from_folder(make_model(tmp_path))
    body = encoded(Image.fromarray(PICTURE), format_)
    answer = _client(FakeService(restorer)).post("/v1/restore", content=body)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-model-version"] == SERVED.version
    assert answer.headers["x-model-alias"] == "champion"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "inference;dur=250.0" in answer.headers["server-timing"]
    expected = restorer.restore(_pixels(body)).output
    assert np.abs(_pixels(answer.content).astype(int) - expected).max() <= 1


def test_the_form_of_a_browser_is_taken_and_its_file_name_is_not() -> None:
    for name in ("a.png", "../../etc/passwd", "", "\\\\host\\share", "a" * 300):
        files = {"image": (name, PNG, "image/png")}
        answer = _client().post("/v1/restore", files=files)
        assert answer.status_code == (200 if name else 422), answer.text
        if name:
            assert np.array_equal(_pixels(answer.content), PICTURE)
    wrong = _client().post("/v1/restore", files={"picture": ("a.png", PNG)})
    assert "no file part 'image'" in _problem(wrong, 422)["detail"]
    kind = {"content-type": "multipart/form-data; boundary=x"}
    _problem(_client().post("/v1/restore", content=b"--y\r\n", headers=kind), 422)


def test_the_query_says_how() -> None:
    service = FakeService()
    client = _client(service)
    query = "steps=3&noise_steps=5&seed=9223372036854775807&noise_level=0.5&model=champion"
    for format_ in ("png", "jpeg", "webp"):
        answer = client.post(f"/v1/restore?{query}&format={format_}", content=PNG)
        assert answer.headers["content-type"] == f"image/{format_}"
        assert Image.open(io.BytesIO(answer.content)).format == format_.upper()
    assert service.asked[0] == Options(3, 5, 0.5, 2**63 - 1, False, scale=1)
    client.post("/v1/restore", content=PNG)
    assert service.asked[-1] == Options(scale=1)


def test_states_on_request(tmp_path: Path) -> None:
    restorer = Restorer.from_folder(make_model(tmp_path))
    answer = _client(FakeService(restorer)).post("/v1/restore?states=true", content=PNG).json()
    expected = restorer.restore(PICTURE, Options(states=True))
    assert [s["name"] for s in answer["states"]] == [s.name for s in expected.states]
    for said, state in zip(answer["states"], expected.states, strict=True):
        assert np.array_equal(_pixels(b64decode(said["image"].partition(",")[2])), state.pixels)
    assert answer["model"] == {"alias": "champion", "version": SERVED.version}
    assert (answer["width"], answer["height"]) == (56, 40)


@pytest.mark.parametrize(
    "query",
    [
        *("steps=0", "steps=21", "steps=x", "seed=-1", f"seed={2**63}", "seed=1.5"),
        *(
            "noise_level=nan",
            "noise_level=inf",
            "noise_level=0",
            "noise_level=-0.1",
            "noise_level=2",
        ),
        *(
            "format=gif",
            "states=maybe",
            "model=../../etc",
            "model=a/b",
            "model=",
            f"model={'a' * 65}",
        ),
        *("stepz=3", "&".join(f"k{n}=1" for n in range(3000))),
    ],
)
def test_a_query_that_cannot_be_is_refused_and_named(query: str) -> None:
    problem = _problem(_client().post(f"/v1/restore?{query}", content=PNG), 422)
    name = query.partition("=")[0]
    assert any(name in wrong["where"] for wrong in problem["errors"])
    assert len(problem["errors"]) <= 20


def test_a_model_that_is_not_served_is_said() -> None:
    answer = _client().post("/v1/restore?model=other", content=PNG)
    assert "there are: champion" in _problem(answer, 404)["detail"]


def test_what_the_model_cannot_do_is_said() -> None:
    async def refuse() -> None:
        raise UserError("this model has no noise part")

    problem = _problem(_client(FakeService(instead=refuse)).post("/v1/restore", content=PNG), 422)
    assert problem["detail"] == "this model has no noise part"


def test_a_full_queue_says_when_to_come_back() -> None:
    async def busy() -> None:
        raise BusyError(3.2)

    answer = _client(FakeService(instead=busy)).post("/v1/restore", content=PNG)
    _problem(answer, 503)
    assert answer.headers["retry-after"] == "4"


def test_a_request_that_takes_too_long_is_given_up() -> None:
    service = FakeService(instead=lambda: asyncio.sleep(60))
    answer = _client(service, ApiLimits(1, 10_000, 0.2)).post("/v1/restore", content=PNG)
    assert "not restored within 0.2 s" in _problem(answer, 503)["detail"]
    assert answer.headers["retry-after"]
    assert service.cancelled.wait(10)


def test_what_nobody_foresaw_is_told_by_its_id_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def surprise() -> None:
        raise RuntimeError("secret of the inside")

    answer = _client(FakeService(instead=surprise)).post("/v1/restore", content=PNG)
    problem = _problem(answer, 500)
    assert "secret" not in answer.text
    assert problem["instance"] in caplog.text
    assert "secret of the inside" in caplog.text


def test_bodies_too_large_are_not_read() -> None:
    client = _client()
    large = bytes(1024**2 + 1)
    assert "larger than 1 MiB" in _problem(client.post("/v1/restore", content=large), 413)["detail"]
    chunks = (bytes(100_000) for _ in range(20))
    _problem(client.post("/v1/restore", content=chunks), 413)
    many = encoded(Image.new("RGB", (1000, 301)), "PNG")
    problem = _problem(client.post("/v1/restore", content=many), 413)
    assert "1000 x 301 pixels, over the limit of 300000" in problem["detail"]


@pytest.mark.parametrize("kind", ["text/html", "application/json", "video/mp4", "x" * 5000])
def test_other_content_types_are_refused(kind: str) -> None:
    headers = {"content-type": kind}
    _problem(_client().post("/v1/restore", content=PNG, headers=headers), 415)


def test_broken_and_unusual_pictures_are_never_an_error_of_the_service(tmp_path: Path) -> None:
    client = _client(FakeService(Restorer.from_folder(make_model(tmp_path))))
    seen = set()
    for name, body, allowed in corpus():
        answer = client.post("/v1/restore", content=body)
        assert answer.status_code in allowed, (name, answer.text[:300])
        seen.add(answer.status_code)
        if answer.status_code != 200:
            _problem(answer, answer.status_code)
    assert {200, 413, 422} <= seen
    assert client.post("/v1/restore", content=PNG).status_code == 200


def test_keys_are_asked_for_when_there_are_some() -> None:
    client = _client(limits=ApiLimits(1, 300_000, 20, ("first key", "second")))
    for headers in (
        {},
        {"X-API-Key": "first"},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Basic second"},
        {"X-API-Key": ""},
    ):
        for answer in (
            client.post("/v1/restore", content=PNG, headers=headers),
            client.get("/v1/models", headers=headers),
        ):
            _problem(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
    for headers in ({"Authorization": "Bearer first key"}, {"X-API-Key": "second"}):
        assert client.post("/v1/restore", content=PNG, headers=headers).status_code == 200
    for open_ in ("/v1/health", "/v1/ready"):
        assert client.get(open_).status_code == 200
    document = client.get("/openapi.json", headers={"X-API-Key": "second"}).json()
    assert set(document["components"]["securitySchemes"])


def test_models_health_and_readiness() -> None:
    client = _client()
    found = client.get("/v1/models").json()
    assert found["default"] == "champion"
    assert found["limits"] == {"max_megabytes": 1, "max_pixels": 300_000, "api_keys": False}
    (one,) = found["models"]
    assert (one["version"], one["tasks"], one["problem"]) == (
        SERVED.version,
        {"rain": {"scale": 1}},
        None,
    )
    assert "has no options" in _problem(client.get("/v1/models?task=rain"), 422)["detail"]
    assert client.get("/v1/ready").json() == {"status": "ready", "max_bytes": 1024**2}
    waiting = _client(FakeService(unready="champion is being loaded"))
    assert waiting.get("/v1/health").json() == {"status": "alive"}
    assert _problem(waiting.get("/v1/ready"), 503)["detail"] == "champion is being loaded"


def test_there_is_nothing_elsewhere() -> None:
    client = _client()
    for path in ("/v1/nothing", "/..%2f..%2fetc/passwd", "/%00", "/v1/restore/x"):
        _problem(client.get(path), 404)
    _problem(client.get("/v1/restore"), 405)
    _problem(client.delete("/v1/models"), 405)


def test_what_is_counted() -> None:
    client = _client()
    for body in (PNG, PNG, b"no picture"):
        client.post("/v1/restore", content=body)
    text = client.get("/metrics").text
    for line in (
        'drdd_requests_total{model="champion",status="200"} 2.0',
        'drdd_requests_total{model="",status="422"} 1.0',
        "drdd_request_seconds_count 3.0",
        "drdd_inference_seconds_sum 0.5",
        "drdd_batch_pictures_sum 6.0",
        f"drdd_pixels_total {2 * 40 * 56}.0",
        "drdd_requests_in_flight 0.0",
        "drdd_requests_waiting 2.0",
        f'drdd_model{{alias="champion",version="{SERVED.version}"}} 1.0',
        'drdd_model_problem{alias="champion"} 0.0',
    ):
        assert line in text


def test_the_documentation_asks_no_other_host() -> None:
    client = _client()
    page = client.get("/docs").text
    sources = [
        part.partition('"')[0] for part in page.split('src="')[1:] + page.split('href="')[1:]
    ]
    assert sources
    assert all(source.startswith("/") for source in sources)
    for source in sources:
        assert client.get(source).status_code == 200


def test_a_real_server_is_left_alone_by_bad_clients() -> None:
    with running(make_api(FakeService(), ApiLimits(1, 300_000, 2), {})) as url:
        host, port = url.removeprefix("http://").split(":")
        head = b"POST /v1/restore HTTP/1.1\r\nHost: x\r\n"

        def send(request: bytes) -> bytes:
            with socket.create_connection((host, int(port)), timeout=30) as line:
                line.sendall(request)
                return line.recv(4096)

        slow = send(head + b"Content-Length: 1000\r\n\r\n" + PNG[:100])
        assert slow.startswith(b"HTTP/1.1 408")
        large = send(head + b"Content-Length: 99999999999\r\n\r\n")
        assert large.startswith(b"HTTP/1.1 413")
        for junk in (
            head + b"Content-Length: -5\r\n\r\n",
            head + b"Content-Length: 5\r\nContent-Length: 7\r\n\r\nabcde",
            b"nonsense\r\n\r\n",
            head + b"X-Long: " + b"a" * 100_000 + b"\r\n\r\n",
        ):
            assert send(junk)[:10] == b"HTTP/1.1 4"
        assert httpx.post(f"{url}/v1/restore", content=PNG).status_code == 200
