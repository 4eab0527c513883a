"""The Ray Serve application: the same answer as the engine, swapped in place, safe from bad models."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from drdd.cluster import ray_cluster
from drdd.errors import UserError
from drdd.serving.engine import Restorer
from tests.serving.test_engine import make_model

pytestmark = pytest.mark.slow
PICTURE = np.random.default_rng(0).integers(0, 256, (33, 47, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def _cluster() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        with ray_cluster(cpus=1):
            yield


@pytest.mark.usefixtures("_cluster")
def test_the_candidate_answers_as_the_engine_does(tmp_path: Path) -> None:
    from drdd.serving.app import candidate

    folder = make_model(tmp_path)
    expected = Restorer.from_folder(folder).restore(PICTURE)
    with candidate(folder, threads=1) as handle:
        answer = handle.restore.remote(PICTURE).result()
    assert np.array_equal(answer.output, expected.output)
    assert np.array_equal(answer.deresidual, expected.deresidual)


@pytest.mark.usefixtures("_cluster")
def test_a_version_is_swapped_in_and_a_bad_one_leaves_the_old(tmp_path: Path) -> None:
    from ray import serve

    from drdd.serving.app import SERVICE, deploy

    first, second = (make_model(tmp_path / name, seed) for seed, name in enumerate(("a", "b")))
    assert deploy(first, "one", 1) is True
    assert deploy(first, "one", 1) is False
    handle = serve.get_app_handle(SERVICE)
    with pytest.raises(UserError, match="two does not load, the old one still serves"):
        deploy(tmp_path / "nothing", "two", 1)
    assert handle.version.remote().result() == "one"
    assert deploy(second, "two", 1) is True
    assert handle.version.remote().result() == "two"
    answer = handle.restore.remote(PICTURE).result()
    assert np.array_equal(answer.output, Restorer.from_folder(second).restore(PICTURE).output)
    serve.delete(SERVICE)
