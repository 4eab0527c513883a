"""The residual stage begins from a published model: its loss, its weights, and nothing else of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from drdd.checkpoints.folder import save_model
from drdd.errors import UserError
from drdd.nets.families import build, training_format
from drdd.params import Params, validate
from drdd.registry.manifest import Version
from drdd.registry.registry import Registry
from drdd.stages.training import run_name
from drdd.stages.warm_start import find_warm_start
from drdd.training.job import Job, initial_weights_of
from drdd.training.learner import Worker
from drdd.training.loop import train
from drdd.training.samples import PairSamples
from drdd.training.settings import method_of, networks_of, sampling_of
from drdd.training.specs import StageSpec, stage_spec
from tests.cluster.recorded import Recorded
from tests.project import tiny_params
from tests.training.tiny import PAIRS, noise

CPU = torch.device("cpu")
KEPT = Path("kept.json")


def _params(warm_start: str = "champion", method: str = "drdd", **residual: Any) -> Params:
    content = tiny_params() | {"method": method}
    content["train"]["residual"] |= {"warm_start": warm_start, **residual}
    return validate(content)


def _weights(params: Params, seed: int) -> dict[str, dict[str, Tensor]]:
    networks = networks_of(params, "residual")
    torch.manual_seed(seed)
    return {
        part: {name: torch.randn_like(w) / 10 for name, w in build(config).state_dict().items()}
        for part, config in networks.items()
    }


def _publish(params: Params, seed: int, alias: str | None = "champion") -> Version:
    """A model of the params' own networks with weights from `seed`."""
    networks = networks_of(params, "residual")
    folder = Path(f"model-{seed}")
    save_model(folder, _weights(params, seed), networks, sampling_of(params), ["haze"])
    registry = Registry.open(params.publish.registry)
    version = registry.publish({path.name: path for path in folder.iterdir()}, {})
    if alias:
        registry.aliases.move(alias, version.id)
    return version


def _spec(job: Job) -> StageSpec:
    params = job.params
    settings = params.train.residual
    pairs = PairSamples(PAIRS, 16, params.seed)
    initial = initial_weights_of(job)
    return stage_spec("residual", method_of(params), pairs, settings, params.seed, initial)


def _losses(spec: StageSpec, net: nn.Module, count: int) -> Tensor:
    """Of the run's first samples, (count,)."""
    return spec.losses(net, spec.draw(range(count)), CPU).of.detach()


def _job(params: Params) -> Job:
    return Job("residual", params, {}, init_from=find_warm_start(params, KEPT).folder)


@pytest.mark.parametrize("method", ["drdd", "coupled", "regression"])
def test_the_stage_begins_with_the_champions_loss_to_the_bit(workspace: Path, method: str) -> None:
    params = _params(method=method, images=4, batch=4, crop=16)
    _publish(params, 1)
    cold, warm = _spec(Job("residual", params, {})), _spec(_job(params))
    champion = cold.network()
    champion.load_state_dict(_weights(params, 1)["residual"])
    assert torch.equal(_losses(warm, warm.network(), 8), _losses(cold, champion, 8))
    (first,) = train(warm, params.train.residual, Worker()).curve
    layout = training_format(champion, CPU, bf16=False)
    champion = champion.to(memory_format=layout)  # type: ignore[call-overload]
    assert first["loss"] == pytest.approx(_losses(cold, champion, 4).mean().item(), rel=1e-6)
    assert first["loss"] != train(cold, params.train.residual, Worker()).curve[0]["loss"]


def test_the_network_and_its_ema_both_begin_from_the_model(workspace: Path) -> None:
    """With a learning rate of nothing, both end where they began."""
    params = _params(learning_rate=1e-30, images=40, batch=4, crop=16)
    _publish(params, 1)
    callback = Recorded()
    trained = train(_spec(_job(params)), params.train.residual, Worker(), callback)
    learner = callback.states[-1][0]["learner"]
    for name, value in _weights(params, 1)["residual"].items():
        assert torch.equal(trained.weights[name], value)
        assert torch.equal(learner["net"][name], value)
    assert learner["optimizer"]["state"][0]["step"] == 10  # its own, begun anew


def test_the_noise_stage_is_untouched(workspace: Path) -> None:
    params, none = _params(), _params("none")
    _publish(params, 1)
    assert params.train.noise == none.train.noise
    assert run_name(Job("noise", params, {})) == run_name(Job("noise", none, {}))
    warm, cold = noise().network(), noise().network()
    for one, other in zip(warm.parameters(), cold.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_name_of_the_run_changes_with_the_start(workspace: Path) -> None:
    params = _params()
    cold = Job("residual", params, {})
    names = {run_name(cold)}
    for seed in (1, 2):
        _publish(params, seed)
        KEPT.unlink(missing_ok=True)
        names.add(run_name(_job(params)))
        assert run_name(_job(params)) in names
    assert len(names) == 3


def test_an_unfinished_run_keeps_the_start_it_began_with(workspace: Path) -> None:
    params = _params()
    first = _publish(params, 1)
    began = find_warm_start(params, KEPT)
    assert began.version == first.id
    assert f"begins from the residual network of {first.id} (champion in published)" in began.said
    second = _publish(params, 2)
    again = find_warm_start(params, KEPT)
    assert (again.version, again.folder) == (began.version, began.folder)
    assert f"goes on with {first.id}" in again.said
    KEPT.unlink()
    assert find_warm_start(params, KEPT).version == second.id


def test_before_the_first_publication_there_are_random_weights(workspace: Path) -> None:
    params = _params()
    found = find_warm_start(params, KEPT)
    assert (found.version, found.folder) == (None, None)
    assert found.said == "published has no champion yet: begins from random weights"
    version = _publish(params, 1)
    assert find_warm_start(params, KEPT).version is None  # the run that has begun goes on so
    assert find_warm_start(params, Path("another")).version == version.id


def test_none_asks_no_registry(workspace: Path) -> None:
    params = _params("none")
    unreachable = params.publish.model_copy(update={"registry": "s3://nowhere/models"})
    found = find_warm_start(params.model_copy(update={"publish": unreachable}), KEPT)
    assert (found.version, found.said) == (None, "")
    assert not KEPT.exists()


def test_a_version_is_named_by_its_id_or_its_beginning(workspace: Path) -> None:
    version = _publish(_params(), 1, alias=None)
    for ref in (version.id, version.id[:4]):
        assert find_warm_start(_params(ref), Path(ref)).version == version.id


@pytest.mark.parametrize("ref", ["feedfeedfeed", "champoin"])
def test_any_other_model_that_is_not_there_is_refused(workspace: Path, ref: str) -> None:
    with pytest.raises(UserError, match=rf"train\.residual\.warm_start = '{ref}': .*no model"):
        find_warm_start(_params(ref), KEPT)
    _publish(_params(), 1)
    with pytest.raises(UserError, match=rf"'{ref}'.*no model"):
        find_warm_start(_params(ref), KEPT)
    assert not KEPT.exists()


def test_a_model_that_does_not_fit_is_refused_before_any_training(workspace: Path) -> None:
    _publish(_params(), 1)
    wider = _params(network={"family": "compact", "channels": [8, 24]})
    with pytest.raises(UserError, match=r"expected \(8, 24\); make train\.residual\.network equal"):
        initial_weights_of(_job(wider))
    job = _job(_params())
    baseline = replace(job, params=_params(method="regression"))
    with pytest.raises(UserError, match="method 'drdd'"):
        initial_weights_of(baseline)
