"""DRDD's trajectory with networks that know the answer."""

import pytest
import torch
from torch import Tensor

from drdd.diffusion.keyed import keyed_generator
from drdd.methods.drdd import Implementation
from tests.nets.tiny import sampling


def _images() -> tuple[Tensor, Tensor, Tensor]:
    """Target, degraded and noise, (2, 3, 8, 8)."""
    generator = keyed_generator("test images")
    target, degraded = (torch.rand(2, 3, 8, 8, generator=generator) * 2 - 1 for _ in range(2))
    return target, degraded, torch.randn(2, 3, 8, 8, generator=generator)


@pytest.mark.parametrize("residual_steps", [1, 2, 5])
@pytest.mark.parametrize("noise_steps", [1, 2, 7])
def test_networks_that_know_the_answer_restore_the_target(
    residual_steps: int, noise_steps: int
) -> None:
    target, degraded, noise = _images()
    chosen = sampling(noise_level=0.3, residual_steps=residual_steps, noise_steps=noise_steps)
    method = Implementation(chosen)
    nets = {"residual": lambda x, time: degraded - target, "noise": lambda x, time: noise}
    found = {s.name: s.image for s in method.trajectory(nets, degraded, lambda purpose: noise)}
    fixed = method.schedule.fixed_noise * noise
    assert list(found) == [
        "noised input",
        *(f"de-residual {n + 1}" for n in range(residual_steps)),
        "estimate",
        *(f"de-noise {n + 1}" for n in range(noise_steps)),
    ]
    for name, expected in {
        "noised input": degraded + fixed,
        f"de-residual {residual_steps}": target + fixed,
        "estimate": target,
        f"de-noise {noise_steps}": target,
    }.items():
        torch.testing.assert_close(found[name], expected, atol=1e-5, rtol=0)


def test_a_network_is_needed_only_when_its_part_begins() -> None:
    """So a stage that is not trained yet does not keep the other one from being looked at."""
    target, degraded, noise = _images()
    method = Implementation(sampling())
    nets = {"residual": lambda x, time: degraded - target}
    states = method.trajectory(nets, degraded, lambda purpose: noise)
    assert [next(states).name for _ in range(4)][-1] == "estimate"
    with pytest.raises(KeyError):
        next(states)


@pytest.mark.parametrize("conditioning", ["none", "input", "estimate"])
def test_the_noise_net_sees_its_condition(conditioning: str) -> None:
    target, degraded, noise = _images()
    seen: list[Tensor] = []

    def noise_net(x: Tensor, time: Tensor) -> Tensor:
        seen.append(x[:, 3:])
        return noise

    guess = 0.5 * (degraded - target)
    method = Implementation(sampling(conditioning=conditioning))
    nets = {"residual": lambda x, time: guess, "noise": noise_net}
    assert list(method.trajectory(nets, degraded, lambda purpose: noise))
    wanted = {"none": degraded[:, :0], "input": degraded, "estimate": degraded - guess}
    assert len(seen) == 2
    for condition in seen:
        torch.testing.assert_close(condition, wanted[conditioning])
