"""Another size out over HTTP: the scale of a request, and limits that count the output's pixels."""

import asyncio
import io
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from drdd.inference.engine import Restorer
from drdd.inference.options import Options
from drdd.params import Serve
from drdd.pictures.scaling import enlarged
from drdd.serving import restoring
from drdd.serving.http import make_api
from drdd.serving.jobs import Bounds
from drdd.serving.memory import DECODING, bytes_a_pixel, bytes_kept
from drdd.serving.models import Models, load_checked
from drdd.serving.published import FromFolder
from drdd.serving.restoring import Restoring
from drdd.serving.schema import RestoreQuery
from tests.corpora import encoded, scene
from tests.inference.test_engine import make_model
from tests.serving.fakes import LIMITS

PICTURE = scene(0, 40, 56)
PNG = encoded(Image.fromarray(PICTURE), "PNG")
WAYS = ["restore", "jobs"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Sequence[int], Path]:
    """Model folders, by the scales of their tasks."""
    root = tmp_path_factory.mktemp("models")
    return {s: make_model(root / f"of_{len(s)}_{s[0]}", scales=s) for s in ((1, 2), (4,), (2, 4))}


def _client(folder: Path, **limits: Any) -> TestClient:
    """The real service without Ray, of one folder."""
    models = Models(["champion"], FromFolder(folder), load_checked)
    models.start()
    service = Restoring(models, Serve())
    return TestClient(
        make_api(service, replace(LIMITS, **limits), {}), raise_server_exceptions=False
    )


def _of(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def _of_uri(uri: str) -> np.ndarray:
    return _of(b64decode(uri.removeprefix("data:image/png;base64,")))


def _by(way: str, client: TestClient, query: str, **body: Any) -> Any:
    """The answer to a request, or that of a job when it has ended."""
    sent = client.post(f"/v1/{way}?{query}", **(body or {"content": PNG}))
    if sent.status_code != 202:
        return sent
    links = sent.json()["links"]
    while client.get(f"{links['self']}?wait=5").json()["status"] in ("waiting", "running"):
        pass
    return client.get(links["result"])


@pytest.mark.parametrize("way", WAYS)
def test_the_scale_that_is_asked_for(folders: Any, way: str) -> None:
    with _client(folders[1, 2]) as client:
        twice = _by(way, client, "scale=2")
        assert twice.status_code == 200, twice.text
        engine = Restorer.from_folder(folders[1, 2])
        assert np.array_equal(_of(twice.content), engine.restore(PICTURE, Options(scale=2)).output)
        assert _of(twice.content).shape == (80, 112, 3)
        for query in ("", "scale=1"):
            assert np.array_equal(
                _of(_by(way, client, query).content), engine.restore(PICTURE).output
            )


@pytest.mark.parametrize("way", WAYS)
def test_states_and_the_map_have_the_size_of_the_output(folders: Any, way: str) -> None:
    with _client(folders[1, 2]) as client:
        found = _by(way, client, "scale=2&states=true&samples=2").json()
        assert (found["width"], found["height"]) == (112, 80)
        pictures = [found["output"], *(state["image"] for state in found["states"])]
        assert {_of_uri(uri).shape for uri in pictures} == {(80, 112, 3)}
        assert _of_uri(found["uncertainty"]["image"]).shape == (80, 112)
        alone = _by(way, client, "scale=2&answer=uncertainty&samples=2").content
        assert np.array_equal(_of(alone), _of_uri(found["uncertainty"]["image"]))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("scales", "query", "said"),
    [
        ((1, 2), "scale=3", "scale 3: this model has 1 times and 2 times"),
        ((4,), "scale=2", "scale 2: this model has 4 times"),
        (
            (2, 4),
            "",
            "this model enlarges 2 times and 4 times: say which; set the scale to 2 or 4",
        ),
    ],
)
def test_a_scale_that_no_task_has(
    folders: Any, way: str, scales: Any, query: str, said: str
) -> None:
    with _client(folders[scales]) as client:
        answer = client.post(f"/v1/{way}?{query}", content=PNG)
        assert (answer.status_code, answer.json()["detail"]) == (422, said)


@pytest.mark.parametrize("wrong", ["0", "-1", "9", "1.5", "two", "", "2&scale=2", "nan", "1e400"])
def test_a_scale_that_is_none(folders: Any, wrong: str) -> None:
    with _client(folders[1, 2]) as client:
        for way in WAYS:
            answer = client.post(f"/v1/{way}?scale={wrong}", content=PNG)
            assert answer.status_code == 422
            assert "scale" in answer.json()["errors"][0]["where"]


def test_a_mask_and_a_scale(folders: Any) -> None:
    hole = np.zeros((40, 56), np.uint8)
    hole[10:20, 12:40] = 255
    files = {"image": ("a", PNG), "mask": ("b", encoded(Image.fromarray(hole), "PNG"))}
    for scales, query in (((1, 2), "scale=2"), ((4,), "")):
        with _client(folders[scales]) as client:
            for way in WAYS:
                answer = client.post(f"/v1/{way}?{query}", files=files)
                assert answer.status_code == 422
                assert (
                    "a mask was given, and the picture would be enlarged" in answer.json()["detail"]
                )
    with _client(folders[1, 2]) as client:
        for way in WAYS:
            kept = _of(_by(way, client, "scale=1", files=files).content)
            assert np.array_equal(kept[hole == 0], PICTURE[hole == 0])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("scales", "query"), [((2, 4), "scale=4"), ((4,), "")])
def test_the_largest_picture_is_that_of_the_output(
    folders: Any, way: str, scales: Any, query: str
) -> None:
    """Also where the scale is left out, of a model that has one."""
    with _client(folders[scales], max_pixels=16 * 40 * 56) as client:
        assert _of(_by(way, client, query).content).shape == (160, 224, 3)
    with _client(folders[scales], max_pixels=16 * 40 * 56 - 1) as client:
        answer = client.post(f"/v1/{way}?{query}", content=PNG)
        assert answer.status_code == 413
        said = "56 x 40 pixels; enlarged 4 times it would have 224 x 160, over the limit of 35839"
        assert said in answer.json()["detail"]


@pytest.mark.parametrize("way", WAYS)
def test_samples_cost_what_the_output_costs(folders: Any, way: str) -> None:
    with _client(folders[1, 2], max_pixels=3 * 4 * 40 * 56) as client:
        assert _by(way, client, "scale=2&samples=3").status_code == 200
        answer = client.post(f"/v1/{way}?scale=2&samples=4", content=PNG)
        assert answer.status_code == 413
        assert "4 samples of 8,960 pixels cost more" in answer.json()["detail"]
        assert _by(way, client, "samples=12").status_code == 200


def test_memory_is_reserved_for_the_output(folders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Just as much as a request of scale 1 for a picture of the output's size, and the input."""
    query = RestoreQuery(states=True, samples=2)
    assert bytes_kept(query, 100, 1) == 100 * bytes_a_pixel(query)
    assert bytes_kept(query, 100, 4) == 1600 * bytes_a_pixel(query) + 300
    needed = 2 * len(PNG) + bytes_kept(RestoreQuery(states=True), 40 * 56, 2)
    assert needed > DECODING * 40 * 56
    for total, status in ((needed, 200), (needed - 1, 413)):
        monkeypatch.setattr("drdd.serving.memory.TOTAL", total)
        with _client(folders[1, 2], max_megabytes=0.1, max_pixels=9000) as client:
            # Less than this budget is never had.
            assert total > DECODING * 9000 + 0.1 * 1024**2
            assert client.post("/v1/restore?states=true", content=PNG).status_code == 200
            answer = client.post("/v1/restore?states=true&scale=2", content=PNG)
            assert answer.status_code == status


def test_a_job_takes_the_room_of_its_output(folders: Any) -> None:
    room = bytes_kept(RestoreQuery(), 40 * 56, 2)
    with _client(folders[1, 2], jobs=Bounds(size=room + 2 * len(PNG))) as client:
        first = client.post("/v1/jobs?scale=2", content=PNG)
        assert first.status_code == 202
        assert client.post("/v1/jobs?scale=2", content=PNG).status_code == 503


def test_batches_are_made_by_the_size_of_the_output(
    folders: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        service = Restoring(
            Models(["champion"], FromFolder(folders[1, 2]), load_checked), Serve(max_batch=8)
        )
        await service.start()
        large, small = enlarged(PICTURE, 2), [scene(n, 40, 56) for n in range(4)]
        asked = [service.restore(one, Options(scale=2)) for one in small]
        answers = await asyncio.gather(*asked)
        assert [one.batch for one in answers] == [4, 4, 4, 4]
        # 96 x 128 for both: the same scale is asked of each picture of a batch, so these are two.
        both = [
            service.restore(large, Options(scale=1)),
            service.restore(PICTURE, Options(scale=2)),
        ]
        assert [one.batch for one in await asyncio.gather(*both)] == [1, 1]
        monkeypatch.setattr(restoring, "AT_ONCE", 2 * 96 * 128)
        answers = await asyncio.gather(*(service.restore(one, Options(scale=2)) for one in small))
        assert [one.batch for one in answers] == [2, 2, 2, 2]

    asyncio.run(asyncio.wait_for(test(), 60))


def test_the_scales_are_told(folders: Any) -> None:
    with _client(folders[1, 2]) as client:
        (one,) = client.get("/v1/models").json()["models"]
        assert one["tasks"] == {"enlarge_2": {"scale": 2}, "rain": {"scale": 1}}
        document = client.get("/openapi.json").json()
        for way in WAYS:
            given = document["paths"][f"/v1/{way}"]["post"]["parameters"]
            (scale,) = [one for one in given if one["name"] == "scale"]
            assert "how many times higher and wider" in scale["description"]
            numbers = scale["schema"]["anyOf"][0]
            assert (numbers["type"], numbers["minimum"], numbers["maximum"]) == ("integer", 1, 8)
