"""A restoration state by state, each with its name: what a viewer is shown, one plane at a time.

The steps are those of drdd/diffusion, one by one; `diffusion.methods.restore` keeps all states of a
restoration, which for a large picture and many steps is more than a machine has.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from torch import Tensor

from drdd.diffusion.keyed import Draw
from drdd.diffusion.methods import Sampling, restore
from drdd.diffusion.process import Net
from drdd.diffusion.sampler import remove_noise, remove_residual
from drdd.diffusion.schedule import Schedule

Named = tuple[str, Tensor]


def states(
    sampling: Sampling, nets: Mapping[str, Net], degraded: Tensor, draw: Draw
) -> Iterator[Named]:
    """The states of `restore`, (B, 3, H, W) in about [-1, 1]; the last one is the output.

    DRDD: "noised input", "de-residual 1" and so on, "estimate" (the residual stage's own, I_in -
    I_res_hat), "de-noise 1" and so on. Coupled: "noised input", "step 1" and so on. Regression: "input",
    "output".
    """
    schedule = sampling.schedule()
    if sampling.method == "drdd":
        yield from _decoupled(sampling, schedule, nets, degraded, draw)
        return
    sample = restore(sampling, schedule, nets, degraded, draw)
    if sampling.method == "regression":
        names = ["input", "output"]
    else:
        names = ["noised input", *(f"step {n}" for n in range(1, len(sample.states)))]
    yield from zip(names, sample.states, strict=True)


def _decoupled(
    sampling: Sampling, schedule: Schedule, nets: Mapping[str, Net], degraded: Tensor, draw: Draw
) -> Iterator[Named]:
    """`diffusion.sampler.sample`, a step at a time."""
    x = degraded + schedule.fixed_noise * draw("fixed noise")
    yield "noised input", x
    grid = schedule.residual_grid(sampling.residual_steps)
    for n, step in enumerate(itertools.pairwise(grid), 1):
        (x,), residual = remove_residual(nets["residual"], schedule, x, degraded, step)
        yield f"de-residual {n}", x
    estimate = degraded - residual
    del residual
    yield "estimate", estimate
    condition = {"none": None, "input": degraded, "estimate": estimate}[sampling.conditioning]
    del estimate
    grid = schedule.noise_grid(sampling.noise_steps)
    for n, step in enumerate(itertools.pairwise(grid), 1):
        one = _Step(**{f.name: getattr(schedule, f.name) for f in fields(schedule)}, step=step)
        (x,) = remove_noise(nets["noise"], one, x, 1, sampling.eta, draw, condition)
        yield f"de-noise {n}", x


@dataclass(frozen=True)
class _Step(Schedule):
    """One step of a schedule's noise grid, from the first level to the second."""

    step: tuple[int, int]

    def noise_grid(self, count: int) -> list[int]:
        return list(self.step)
