"""A method that is added as one file is trained, evaluated and served like any other."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import drdd.methods
from drdd.checkpoints.folder import TaskUse, save_model
from drdd.errors import UserError
from drdd.inference.options import Options
from drdd.methods import find, names
from drdd.params import Serve, validate
from drdd.serving.models import Models, load_checked
from drdd.serving.published import FromFolder
from drdd.serving.restoring import Restoring
from drdd.training.learner import Worker
from drdd.training.loop import train
from drdd.training.samples import PairSamples
from drdd.training.settings import method_of, networks_of, sampling_of, stage_settings
from drdd.training.specs import stage_spec
from tests.conftest import Content
from tests.corpora import scene
from tests.examples import code_of
from tests.training.tiny import PAIRS


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The file is where methods are looked for."""
    folder = tmp_path / "methods"
    folder.mkdir()
    (folder / "toy.py").write_text(code_of("A method"))
    monkeypatch.setattr(drdd.methods, "__path__", [*drdd.methods.__path__, str(folder)])
    yield
    sys.modules.pop("drdd.methods.toy", None)


def test_a_file_is_a_method(toy: None) -> None:
    assert "toy" in names()
    assert find("toy").stages == {"residual": ("residual",)}


def test_an_unknown_method_is_refused_with_the_nearest(toy: None, content: Content) -> None:
    with pytest.raises(UserError, match=r"method: unknown, did you mean 'toy'\?; there are .*toy"):
        validate(content | {"method": "toi"})


def test_it_is_trained_saved_and_served(toy: None, content: Content, tmp_path: Path) -> None:
    content["method"] = "toy"
    network = {"family": "compact", "channels": [8, 16]}
    tiny = {"images": 80, "batch": 4, "crop": 16, "network": network, "start": "scratch"}
    tiny["learning_rate"] = 0.001
    content["train"]["residual"] |= tiny
    content["train"]["noise"] |= {"images": 80, "batch": 4}
    params = validate(content)
    settings = stage_settings(params, "residual")
    assert settings.images == 160  # of both stages, as it has one
    samples = PairSamples(PAIRS, settings.crop, 0)
    spec = stage_spec("residual", method_of(params), samples, settings, 0)
    trained = train(spec, settings, Worker())
    assert trained.curve[-1]["loss"] < trained.curve[0]["loss"]
    networks = networks_of(params, "residual")
    folder = tmp_path / "model"
    save_model(
        folder, {"residual": trained.weights}, networks, sampling_of(params), {"haze": TaskUse()}
    )

    async def served() -> None:
        service = Restoring(Models(["champion"], FromFolder(folder), load_checked), Serve())
        await service.start()
        answer = await service.restore(scene(1, 20, 24), Options(states=True))
        names = [state.name for state in answer.restoration.states]
        assert names == ["input", "pass 1", "pass 2"]
        assert np.array_equal(answer.restoration.output, answer.restoration.states[-1].pixels)
        with pytest.raises(UserError, match="this model restores in two passes without noise"):
            await service.restore(scene(1, 20, 24), Options(noise_level=0.1))

    asyncio.run(served())
