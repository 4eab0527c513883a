"""What is trained: which stage sees what, samples as pure functions of (seed, n), the groups' losses."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from drdd.checkpoints.pretrained import read_pretrained
from drdd.degradations.corruption import corrupt
from drdd.diffusion import process
from drdd.diffusion.keyed import keyed_generator
from drdd.diffusion.process import Conditioning
from drdd.errors import UserError
from drdd.methods import find
from drdd.methods.method import Batch
from drdd.nets.adm import AdmConfig
from drdd.nets.adm_unet import AdmUNet
from drdd.params import TimestepSampling, TrainNoise
from drdd.training.samples import CleanSamples, PairSamples
from drdd.training.specs import BUCKETS, InitialWeights, Losses, StageSpec, draw_time, stage_spec
from tests.nets.filled import filled
from tests.nets.tiny import sampling
from tests.training.tiny import PAIRS, PHOTOGRAPHS, SCHEDULE, TINY, noise, residual

CPU = torch.device("cpu")
EVERY: dict[str, Callable[[], StageSpec]] = {
    "noise, none": noise,
    "noise, input": partial(noise, "input"),
    "noise, estimate": partial(noise, "estimate"),
    "residual": residual,
    "regression": partial(residual, "regression"),
    "coupled": partial(residual, "coupled"),
    "coupled, two networks": partial(residual, "coupled_two_networks"),
}


class _Recorder(nn.Module):
    """Remembers the passes that have a gradient, not those of a rollout."""

    def __init__(self, out_channels: int = 3) -> None:
        super().__init__()
        self.inputs: list[Tensor] = []
        self._out_channels = out_channels

    def forward(self, x: Tensor, time: Tensor, *context: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            self.inputs.append(torch.cat([x.flatten(1), time[:, None]], dim=1))
        return torch.zeros(len(x), self._out_channels, *x.shape[2:])


def _losses(spec: StageSpec, net: nn.Module, numbers: Sequence[int]) -> Losses:
    return spec.losses(net, spec.draw(numbers), CPU)


@pytest.mark.parametrize("name", EVERY)
def test_a_sample_does_not_depend_on_its_neighbours(name: str) -> None:
    channels = 6 if name.startswith("coupled") else 3
    together, alone = _Recorder(channels), _Recorder(channels)
    whole = _losses(EVERY[name](), together, range(6))
    parts = [_losses(EVERY[name](), alone, [n]) for n in reversed(range(6))]
    assert torch.equal(together.inputs[0], torch.cat(alone.inputs[::-1]))
    assert torch.equal(whole.of, torch.cat([part.of for part in parts[::-1]]))


@pytest.mark.parametrize("name", EVERY)
def test_every_network_takes_its_samples_and_starts_from_the_seed_alone(name: str) -> None:
    spec = EVERY[name]()
    first = spec.network()
    assert torch.isfinite(_losses(spec, first, range(4)).of).all()
    torch.manual_seed(123)
    second = EVERY[name]().network()
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_unpaired_noise_stages_see_clean_images_alone() -> None:
    """The same losses whatever the pairs are: there is no way in for them."""
    spec = noise("estimate")
    assert isinstance(spec.samples, CleanSamples)
    drawn = spec.samples.draw("noise", 0, keyed_generator(0))
    assert drawn.degraded is not None
    generator = keyed_generator(0)
    target = noise().samples.draw("noise", 0, generator).target
    assert torch.equal(drawn.target, target)
    assert torch.equal(drawn.degraded, corrupt(target, generator))


@pytest.mark.parametrize(
    ("conditioning", "paired"), [("none", True), ("estimate", True), ("input", False)]
)
def test_a_conditioning_refuses_data_it_cannot_use(conditioning: str, paired: bool) -> None:
    data = "pairs" if conditioning == "input" else "unpaired"
    settings = TrainNoise.model_validate({**TINY, "conditioning": conditioning, "data": data})
    wrong = PairSamples(PAIRS, 16, 0) if paired else CleanSamples(PHOTOGRAPHS, 16, 0)
    with pytest.raises(
        UserError, match=f"{conditioning}.*learns from {data}|{conditioning}.*clean"
    ):
        stage_spec("noise", find("drdd")(sampling()), wrong, settings, 0)


def test_the_condition_is_what_the_network_gets_below_the_noisy_image() -> None:
    cases: dict[Conditioning, int] = {"none": 3, "input": 6, "estimate": 6}
    for conditioning, channels in cases.items():
        recorder = _Recorder()
        _losses(noise(conditioning), recorder, range(2))
        assert recorder.inputs[0].shape == (2, channels * 16 * 16 + 1)


def test_a_start_is_where_the_noise_net_begins(tmp_path: Path) -> None:
    theirs = AdmUNet(AdmConfig(3, 6, 32, (1, 2), 1, (), middle_attention=False))
    torch.save(filled(theirs).state_dict(), tmp_path / "uncond.pt")
    start = read_pretrained(tmp_path / "uncond.pt", "vp_epsilon", 6)
    spec = noise(
        "estimate",
        network={"family": "pretrained"},
        start="pretrained/uncond.pt",
        parameterization="vp_epsilon",
        initial=InitialWeights({"noise": start.config}, {"noise": start.weights}),
    )
    net = spec.network()
    for name, value in net.state_dict().items():
        assert torch.equal(value, start.weights[name.removeprefix("net.")])
    assert torch.isfinite(_losses(spec, net, range(2)).of).all()


def test_baselines_learn_from_the_same_samples() -> None:
    """Target, input and noise of the n-th sample are the method's only in what is made of them."""
    seen: dict[str, Tensor] = {}
    for method in ("drdd", "coupled", "regression"):
        recorder = _Recorder(6 if method == "coupled" else 3)
        _losses(residual(method), recorder, range(8))
        seen[method] = recorder.inputs[0][:, :-1].reshape(8, -1, 16, 16)[:, -3:]
    assert torch.equal(seen["drdd"], seen["coupled"])
    assert torch.equal(seen["drdd"], seen["regression"])


def test_balancing_charges_a_silent_network_about_one_for_every_task() -> None:
    balanced = _losses(residual(balance="relative", loss="squared"), _Recorder(), range(40)).of
    raw = _losses(residual(balance="none", loss="squared"), _Recorder(), range(40)).of
    dark, flat = raw[::2].mean(), raw[1::2].mean()
    assert max(dark, flat) / min(dark, flat) > 1.5  # else there is nothing to balance
    assert float(balanced.min()) > 0.75
    assert float(balanced.max()) <= 1.0


def test_losses_are_told_apart_by_task_and_by_range_of_t() -> None:
    spec = residual(timestep_sampling=TimestepSampling(first=0, grid=0, uniform=1), balance="none")
    assert spec.groups == ("dark", "flat", "t 0-249", "t 250-499", "t 500-749", "t 750-999")
    recorder = _Recorder()
    losses = _losses(spec, recorder, range(40))
    assert losses.group_mask[:, :2].tolist() == [[1, 0], [0, 1]] * 20
    assert torch.equal(losses.group_mask[:, 2:].sum(dim=1), torch.ones(40))
    levels = recorder.inputs[0][:, -1] / 1000
    t = (SCHEDULE.residual_level[None] - levels[:, None]).abs().argmin(dim=1)
    assert torch.equal(losses.group_mask[:, 2:].argmax(dim=1), t * BUCKETS // 1000)


def test_time_is_drawn_where_the_mixture_says() -> None:
    grid = SCHEDULE.residual_grid(2)[:-1]
    mixture = TimestepSampling(first=0.5, grid=0.25, uniform=0.25)
    draws = Counter(draw_time(mixture, grid, 999, keyed_generator(n)) for n in range(4000))
    assert abs(draws[999] / 4000 - (0.5 + 0.125)) < 0.03
    assert abs(draws[499] / 4000 - 0.125) < 0.03
    others = [t for t in draws.elements() if t not in grid]
    assert 0.2 < len(others) / 4000 < 0.3
    assert min(others) < 30
    assert max(others) > 960


def test_a_network_that_knows_the_noise_has_no_loss_beside_any_condition() -> None:
    target = torch.rand(2, 3, 8, 8) * 2 - 1
    eps, t = torch.randn_like(target), torch.tensor([3, 40])
    for condition in (None, target / 2):
        loss = process.noise_loss(lambda x, time: eps, SCHEDULE, target, t, eps, condition)
        assert float(loss.max()) < 1e-12


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("t", [0, -1])
def test_gradients_are_finite_at_both_ends_of_the_schedule(name: str, t: int) -> None:
    spec = EVERY[name]()
    drawn = [spec.samples.draw("ends", n, keyed_generator(n)) for n in range(4)]
    degraded = [one.degraded for one in drawn if one.degraded is not None]
    contexts = [one.context for one in drawn if one.context is not None]
    target = torch.stack([one.target for one in drawn])
    batch = Batch(
        target,
        torch.stack(degraded) if degraded else None,
        torch.full((4,), t % (spec.last + 1)),
        torch.randn(target.shape, generator=keyed_generator("eps")),
        torch.stack(contexts) if contexts else None,
    )
    net = spec.network()
    spec.loss(net, batch).mean().backward()
    for parameter in net.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
