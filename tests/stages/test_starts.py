"""Both stages begin from what their start names: the base, a published model, a file, random weights."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from drdd.checkpoints.folder import Saved, load_model, read_model
from drdd.checkpoints.trained import write_trained
from drdd.errors import UserError
from drdd.nets.context import CHANNELS, SIDE
from drdd.nets.families import training_format
from drdd.params import Params, validate
from drdd.pictures.tensors import to_tensor
from drdd.registry.manifest import Version
from drdd.registry.registry import Registry
from drdd.stages.starts import declared, digest, find_start
from drdd.stages.training import run_name
from drdd.training.job import Job, initial_weights_of
from drdd.training.learner import Worker
from drdd.training.loop import train
from drdd.training.samples import CleanSamples, PairSamples
from drdd.training.settings import method_of, stage_settings
from drdd.training.specs import StageSpec, stage_spec
from drdd.training.validation import Held
from drdd.training.validation import validate as validate_net
from tests.base.packed import candidate, ship, ship_none
from tests.cluster.recorded import Recorded
from tests.corpora import scene
from tests.project import tiny_params
from tests.training.tiny import PAIRS, PHOTOGRAPHS

CPU = torch.device("cpu")
KEPT = Path("kept.json")
STAGES = ("noise", "residual")
both = pytest.mark.parametrize("stage", STAGES)


def _params(start: str = "champion", method: str = "drdd", **changes: Any) -> Params:
    """With the same changes to both stages."""
    content = tiny_params() | {"method": method}
    for stage in STAGES:
        content["train"][stage] |= {"start": start, **changes}
    return validate(content)


def _publish(params: Params, seed: int, alias: str | None = "champion") -> Version:
    """A model of the params' own networks with weights from `seed`."""
    folder = candidate(Path(f"model-{seed}"), params, seed)
    registry = Registry.open(params.publish.registry)
    version = registry.publish({path.name: path for path in folder.iterdir()}, {})
    if alias:
        registry.aliases.move(alias, version.id)
    return version


def _cold(stage: str, params: Params) -> Job:
    return Job(stage, params, {})


def _job(stage: str, params: Params) -> Job:
    job = _cold(stage, params)
    return replace(job, init_from=find_start(job, KEPT).path)


def _spec(job: Job) -> StageSpec:
    params, settings = job.params, stage_settings(job.params, job.stage)
    samples = (
        CleanSamples(PHOTOGRAPHS, 16, params.seed)
        if job.stage == "noise"
        else PairSamples(PAIRS, 16, params.seed)
    )
    initial = initial_weights_of(job)
    return stage_spec(job.stage, method_of(params), samples, settings, params.seed, initial)


def _losses(spec: StageSpec, net: nn.Module, count: int) -> Tensor:
    """Of the run's first samples, (count,)."""
    return spec.losses(net, spec.draw(range(count)), CPU).of.detach()


def _saved(seed: int) -> Saved:
    return read_model(Path(f"model-{seed}"))


@pytest.mark.parametrize(
    ("stage", "method"),
    [("noise", "drdd"), *(("residual", name) for name in ("drdd", "coupled", "regression"))],
)
def test_a_stage_begins_with_the_champions_loss_to_the_bit(
    workspace: Path, stage: str, method: str
) -> None:
    params = _params(method=method, images=4, batch=4, crop=16)
    settings = stage_settings(params, stage).model_copy(update={"images": 4})
    _publish(params, 1)
    cold, warm = _spec(_cold(stage, params)), _spec(_job(stage, params))
    champion = cold.network()
    champion.load_state_dict(_saved(1).weights[stage])
    assert torch.equal(_losses(warm, warm.network(), 8), _losses(cold, champion, 8))
    (first,) = train(warm, settings, Worker()).curve
    layout = training_format(champion, CPU, bf16=False)
    champion = champion.to(memory_format=layout)  # type: ignore[call-overload]
    assert first["loss"] == pytest.approx(_losses(cold, champion, 4).mean().item(), rel=1e-6)
    assert first["loss"] != train(cold, settings, Worker()).curve[0]["loss"]


@both
def test_the_network_and_its_ema_both_begin_from_the_model(workspace: Path, stage: str) -> None:
    """With a learning rate of nothing, both end where they began."""
    params = _params(learning_rate=1e-30, images=40, batch=4, crop=16)
    _publish(params, 1)
    callback = Recorded()
    settings = stage_settings(params, stage)
    trained = train(_spec(_job(stage, params)), settings, Worker(), callback)
    learner = callback.states[-1][0]["learner"]
    for name, value in _saved(1).weights[stage].items():
        assert torch.equal(trained.weights[name], value)
        assert torch.equal(learner["net"][name], value)
    assert learner["optimizer"]["state"][0]["step"] == 10  # its own, begun anew


@both
@pytest.mark.parametrize("parameterization", ["paper", "vp_v"])
def test_the_first_validation_is_that_of_the_base(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, stage: str, parameterization: str
) -> None:
    content = tiny_params()
    content["train"]["noise"]["parameterization"] = parameterization
    for name in STAGES:
        changes = {"start": "base", "images": 4, "batch": 4, "crop": 16, "learning_rate": 1e-30}
        content["train"][name] |= changes
    params = validate(content)
    base = load_model(ship(workspace, params, monkeypatch))
    held = []
    for number in range(2):
        target = scene(number, 32, 32)
        degraded = None if stage == "noise" else to_tensor(target // 2)
        context = None if degraded is None else torch.rand(CHANNELS, SIDE, SIDE)
        held.append(Held("dark", str(number), to_tensor(target), degraded, context))
    restore = partial(method_of(params).validate, stage)

    def validation(net: nn.Module, device: torch.device) -> Any:
        return validate_net(net, restore, held, params.seed, device)

    spec = replace(_spec(_job(stage, params)), validate=validation)
    (first,) = train(spec, stage_settings(params, stage), Worker()).curve
    own = validation(base.nets[stage], CPU).psnr
    assert first["psnr"] == pytest.approx(own["dark"], abs=0.01)
    random = replace(_spec(_cold(stage, params)), validate=validation)
    (other,) = train(random, stage_settings(params, stage), Worker()).curve
    assert abs(other["psnr"] - first["psnr"]) > 0.1


def test_what_a_start_begins_with_is_said(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = ship(workspace, _params("base"), monkeypatch)
    start = find_start(_cold("noise", _params("base")), KEPT)
    assert (start.origin, start.path) == ("base", base)
    assert start.said == "begins from the base that ships with drdd"
    assert not KEPT.exists()  # nothing moves it during a run but another base, which is another run


def test_a_folder_and_a_stages_file_are_starts_too(workspace: Path) -> None:
    folder = candidate(Path("pretrained/mine"), _params("scratch"))
    saved = read_model(folder)
    for stage in STAGES:
        method = ("drdd", "paper" if stage == "noise" else None)
        path = Path(f"pretrained/{stage}.safetensors")
        write_trained(path, saved.weights[stage], {stage: saved.networks[stage]}, *method)
        for name in (str(folder), str(path)):
            initial = initial_weights_of(_job(stage, _params(name)))
            assert initial is not None
            for key, value in saved.weights[stage].items():
                assert torch.equal(initial.weights[stage][key], value)
    with pytest.raises(
        UserError, match=r"'pretrained/noise\.safetensors': it has another network: "
    ):
        initial_weights_of(_job("residual", _params("pretrained/noise.safetensors")))


@both
def test_the_name_of_the_run_changes_with_the_start(workspace: Path, stage: str) -> None:
    params = _params()
    names = {run_name(_cold(stage, params))}
    for seed in (1, 2):
        _publish(params, seed)
        KEPT.unlink(missing_ok=True)
        names.add(run_name(_job(stage, params)))
        assert run_name(_job(stage, params)) in names
    assert len(names) == 3


@both
def test_an_unfinished_run_keeps_the_start_it_began_with(workspace: Path, stage: str) -> None:
    job = _cold(stage, _params())
    first = _publish(job.params, 1)
    began = find_start(job, KEPT)
    assert began.origin == first.id
    assert (
        f"begins from the {stage} network of {first.id[:12]} (champion in published)" in began.said
    )
    second = _publish(job.params, 2)
    again = find_start(job, KEPT)
    assert (again.origin, again.path) == (began.origin, began.path)
    assert f"goes on with {first.id[:12]}" in again.said
    KEPT.unlink()
    assert find_start(job, KEPT).origin == second.id


@both
def test_before_the_first_publication_there_is_the_base(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    job = _cold(stage, _params())
    base = ship(workspace, job.params, monkeypatch)
    found = find_start(job, KEPT)
    assert (found.origin, found.path) == ("base", base)
    assert found.said == (
        "published has no champion yet: begins from the base that ships with drdd"
    )
    version = _publish(job.params, 1)
    again = find_start(job, KEPT)  # the run that has begun goes on so
    assert (again.origin, again.path) == ("base", base)
    assert find_start(job, Path("another")).origin == version.id


def test_or_random_weights_if_the_base_does_not_fit(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship(workspace, _params(), monkeypatch)
    wider = _cold("residual", _params(network={"family": "compact", "channels": [8, 24]}))
    found = find_start(wider, KEPT)
    assert (found.origin, found.path) == ("scratch", None)
    assert found.said == (
        "published has no champion yet: begins from random weights, as the base does not fit (it has "
        "another network: residual channels is (8, 16), expected (8, 24))"
    )
    _publish(wider.params, 1)
    assert find_start(wider, KEPT).origin == "scratch"


def test_a_base_that_is_not_there_is_no_reason_for_random_weights(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship_none(workspace, monkeypatch)
    with pytest.raises(UserError, match="the base that ships with drdd is missing"):
        find_start(_cold("noise", _params()), KEPT)
    assert not KEPT.exists()


def test_scratch_asks_no_registry(workspace: Path) -> None:
    params = _params("scratch")
    unreachable = params.publish.model_copy(update={"registry": "s3://nowhere/models"})
    job = _cold("residual", params.model_copy(update={"publish": unreachable}))
    found = find_start(job, KEPT)
    assert (found.origin, found.path, found.said) == ("scratch", None, "")
    assert not KEPT.exists()


def test_a_version_is_named_by_its_id_or_its_beginning(workspace: Path) -> None:
    version = _publish(_params(), 1, alias=None)
    for ref in (version.id, version.id[:6]):
        assert find_start(_cold("noise", _params(ref)), Path(ref)).origin == version.id


@both
@pytest.mark.parametrize("ref", ["feedfeedfeed", "champoin"])
def test_any_other_model_that_is_not_there_is_refused(
    workspace: Path, stage: str, ref: str
) -> None:
    job = _cold(stage, _params(ref))
    said = rf"train\.{stage}\.start = '{ref}': .*no model.*; name one of these, base or scratch"
    for _ in range(2):
        with pytest.raises(UserError, match=said):
            find_start(job, KEPT)
        _publish(_params(), 1)
    assert not KEPT.exists()


@both
def test_a_model_that_does_not_fit_is_refused_before_any_training(
    workspace: Path, stage: str
) -> None:
    _publish(_params(), 1)
    wider = _params(network={"family": "compact", "channels": [8, 24]})
    with pytest.raises(UserError) as error:
        initial_weights_of(_job(stage, wider))
    assert str(error.value).startswith(
        f"train.{stage}.start = 'champion': it has another network: "
    )
    assert "expected (8, 24); make network" in str(error.value)
    assert str(error.value).endswith(f"or set train.{stage}.start: scratch")


def test_a_model_of_another_method_is_refused(workspace: Path) -> None:
    _publish(_params(), 1)
    with pytest.raises(UserError, match=r"it is a model of method 'drdd'.*start: scratch"):
        initial_weights_of(_job("residual", _params(method="regression")))


@both
def test_what_is_declared_follows_the_content_of_a_start(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    assert declared(_params("scratch"), stage) == {"start": "scratch", "files": None}
    assert declared(_params(), stage) == {"start": "champion", "files": None}  # asks no registry
    seen = []
    for seed in (1, 2):
        base = ship(workspace, _params("base"), monkeypatch, seed)
        seen.append(declared(_params("base"), stage))
        assert seen[-1] == {"start": "base", "files": digest(base)}
    assert seen[0] != seen[1]


@both
def test_a_start_that_cannot_be_is_refused_in_a_sentence(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    key = rf"train\.{stage}\.start"
    ship_none(workspace, monkeypatch)
    with pytest.raises(
        UserError,
        match=rf"^{key} = 'base': .* is missing .*; install drdd again, or set {key}: scr",
    ):
        declared(_params("base"), stage)
    base = ship(workspace, _params("base"), monkeypatch)
    with pytest.raises(UserError, match=rf"^{key} = 'base': it has another network: .*channels"):
        declared(_params("base", network={"family": "compact", "channels": [16, 16]}), stage)
    with pytest.raises(UserError, match=r"'base': it has .*family is compact, expected rddm; make"):
        declared(_params("base", network={"family": "rddm", "dim": 8}), stage)
    (base / "model.safetensors").write_bytes(b"")
    with pytest.raises(
        UserError, match=rf"^{key} = 'base': .* is damaged .*; install drdd again, or"
    ):
        declared(_params("base"), stage)
    with pytest.raises(
        UserError, match=rf"^{key} = 'pretrained/x': does not exist; name a file or"
    ):
        declared(_params("pretrained/x"), stage)
