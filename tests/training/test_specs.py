"""What is trained: the noise stage on clean images alone, samples as pure functions of (seed, n)."""

import inspect
from collections import Counter

import torch
from torch import Tensor, nn

from drdd.diffusion.keyed import keyed_generator
from drdd.params import TimeDraw
from drdd.training.specs import NoiseSpec, draw_time
from tests.training.tiny import SCHEDULE, noise_spec, residual_spec

CPU = torch.device("cpu")


class _Recorder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inputs: list[Tensor] = []

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        self.inputs.append(torch.cat([x.flatten(1), time[:, None]], dim=1))
        return torch.zeros_like(x[:, :3])


def test_the_noise_stage_takes_no_pairs() -> None:
    names = set(inspect.signature(NoiseSpec.__init__).parameters)
    assert "pairs" not in names
    assert noise_spec().network().config.in_channels == 3
    assert residual_spec().network().config.in_channels == 6


def test_a_sample_does_not_depend_on_its_neighbours() -> None:
    for make in (noise_spec, residual_spec):
        together, alone = _Recorder(), _Recorder()
        make().losses(together, range(6), CPU)
        for n in reversed(range(6)):
            make().losses(alone, [n], CPU)
        assert torch.equal(together.inputs[0], torch.cat(alone.inputs[::-1]))


def test_initial_weights_are_the_seeds_alone() -> None:
    first = noise_spec().network().state_dict()
    torch.manual_seed(123)
    second = noise_spec().network().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_balancing_charges_a_silent_network_about_one_for_every_task() -> None:
    balanced = residual_spec().losses(_Recorder(), range(40), CPU)
    raw = residual_spec(balance="none").losses(_Recorder(), range(40), CPU)
    dark, flat = raw[::2].mean(), raw[1::2].mean()
    assert max(dark, flat) / min(dark, flat) > 1.5  # else there is nothing to balance
    assert float(balanced.min()) > 0.75
    assert float(balanced.max()) <= 1.0


def test_time_is_drawn_where_the_mixture_says() -> None:
    grid = SCHEDULE.residual_grid(2)[:-1]
    mixture = TimeDraw(start=0.5, grid=0.25, uniform=0.25)
    draws = Counter(draw_time(mixture, grid, 999, keyed_generator(n)) for n in range(4000))
    assert abs(draws[999] / 4000 - (0.5 + 0.125)) < 0.03
    assert abs(draws[499] / 4000 - 0.125) < 0.03
    others = [t for t in draws.elements() if t not in grid]
    assert 0.2 < len(others) / 4000 < 0.3
    assert min(others) < 30
    assert max(others) > 960
