"""Samples over HTTP: their mean, the map of where they differ, and what they may cost."""

import io
from base64 import b64decode
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from drdd.inference.engine import Restorer
from drdd.inference.options import Options
from drdd.pictures.uncertainty import GREYS, uncertainty_map
from drdd.serving.http import make_api
from drdd.serving.memory import bytes_a_pixel
from drdd.serving.schema import RestoreQuery
from tests.corpora import encoded, scene
from tests.inference.test_engine import make_model
from tests.serving.fakes import LIMITS, FakeService

PICTURE = scene(0, 40, 56)
PNG = encoded(Image.fromarray(PICTURE), "PNG")


@pytest.fixture(scope="module")
def restorer(tmp_path_factory: pytest.TempPathFactory) -> Restorer:
    return Restorer.from_folder(make_model(tmp_path_factory.mktemp("model")))


@pytest.fixture
def client(restorer: Restorer) -> TestClient:
    return TestClient(make_api(FakeService(restorer), LIMITS, {}), raise_server_exceptions=False)


def _asked(client: TestClient, query: str, body: bytes = PNG) -> Any:
    answer = client.post(f"/v1/restore?{query}", content=body)
    assert answer.status_code == 200, answer.text
    return answer


def _of(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def _of_uri(uri: str) -> np.ndarray:
    return _of(b64decode(uri.removeprefix("data:image/png;base64,")))


def test_the_picture_is_the_mean_of_the_samples(client: TestClient, restorer: Restorer) -> None:
    answer = _asked(client, "samples=3&seed=7")
    expected = restorer.restore(PICTURE, Options(seed=7, samples=3))
    assert np.array_equal(_of(answer.content), expected.output)
    assert np.array_equal(_of(_asked(client, "samples=1").content), _of(_asked(client, "").content))


def test_the_map_comes_alone_as_a_grey_png(client: TestClient, restorer: Restorer) -> None:
    answer = _asked(client, "samples=3&answer=uncertainty")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-model-alias"] == "champion"
    deviation = restorer.restore(PICTURE, Options(samples=3)).deviation
    assert deviation is not None
    assert np.array_equal(_of(answer.content), uncertainty_map(deviation))


@pytest.mark.parametrize("query", ["answer=json", "states=true", "states=true&answer=json"])
def test_json_has_the_map_beside_the_picture(
    client: TestClient, restorer: Restorer, query: str
) -> None:
    found = _asked(client, f"samples=3&{query}").json()
    expected = restorer.restore(PICTURE, Options(samples=3, states=True))
    assert expected.deviation is not None
    assert np.array_equal(_of_uri(found["output"]), expected.output)
    said = found["uncertainty"]
    assert np.array_equal(_of_uri(said["image"]), uncertainty_map(expected.deviation))
    assert (said["greys"], said["samples"]) == (GREYS, 3)
    assert said["mean"] == pytest.approx(float(expected.deviation.mean()))
    assert said["largest"] == pytest.approx(float(expected.deviation.max()))
    names = [state.name for state in expected.states] if "states" in query else []
    assert [state["name"] for state in found["states"]] == names


@pytest.mark.parametrize("query", ["answer=json", "states=true"])
def test_one_sample_has_no_map(client: TestClient, query: str) -> None:
    assert _asked(client, query).json()["uncertainty"] is None


@pytest.mark.parametrize(
    ("query", "where", "what"),
    [
        ("samples=0", "query.samples", "greater than or equal to 1"),
        ("samples=65", "query.samples", "less than or equal to 64"),
        ("samples=2.5", "query.samples", "integer"),
        ("samples=nan", "query.samples", "integer"),
        ("samples=2&samples=3", "query.samples", "more than once"),
        ("answer=map", "query.answer", "'picture', 'uncertainty' or 'json'"),
        ("answer=uncertainty", "query.answer", "one sample has no uncertainty: add samples=8"),
        ("samples=2&answer=uncertainty&states=true", "query.answer", "with the map in it"),
        ("samples=2&answer=uncertainty&format=webp", "query.answer", "the map is a PNG"),
    ],
)
def test_what_cannot_be_asked_is_refused_and_named(
    client: TestClient, query: str, where: str, what: str
) -> None:
    answer = client.post(f"/v1/restore?{query}", content=PNG)
    assert answer.status_code == 422
    (wrong,) = answer.json()["errors"]
    assert wrong["where"] == where
    assert what in wrong["what"]


def test_samples_cost_at_most_as_much_as_the_largest_picture(client: TestClient) -> None:
    side = 300
    assert LIMITS.max_pixels // side**2 == 3
    body = encoded(Image.fromarray(scene(0, side, side)), "PNG")
    service = FakeService()
    plain = TestClient(make_api(service, LIMITS, {}), raise_server_exceptions=False)
    _asked(plain, "samples=3", body)
    answer = plain.post("/v1/restore?samples=4", content=body)
    assert answer.status_code == 413
    said = "4 samples of 90,000 pixels cost more than the largest picture, of 300,000"
    assert said in answer.json()["detail"]
    assert "ask for 3 samples at most" in answer.json()["detail"]
    assert [options.samples for options in service.asked] == [3]


def test_the_memory_of_a_request_has_a_place_for_the_map() -> None:
    assert bytes_a_pixel(RestoreQuery(samples=1)) == bytes_a_pixel(RestoreQuery())
    assert bytes_a_pixel(RestoreQuery(samples=2)) > bytes_a_pixel(RestoreQuery())
    assert bytes_a_pixel(RestoreQuery(samples=64)) == bytes_a_pixel(RestoreQuery(samples=2))
    assert bytes_a_pixel(RestoreQuery(answer="json")) > bytes_a_pixel(RestoreQuery())
    states = RestoreQuery(states=True)
    assert bytes_a_pixel(RestoreQuery(states=True, samples=2)) > bytes_a_pixel(states)


def test_the_document_of_the_api_names_what_there_is(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    asked = document["paths"]["/v1/restore"]["post"]
    named = {one["name"]: one for one in asked["parameters"]}
    assert named["answer"]["schema"]["enum"] == ["picture", "uncertainty", "json"]
    assert named["samples"]["schema"]["maximum"] == 64
    content = asked["responses"]["200"]["content"]["application/json"]["schema"]
    assert "uncertainty" in content["properties"]
