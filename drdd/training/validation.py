"""Validation while training: a few held-out crops restored by the stage's own sampler, in dB, and seen.

A restorer is a stage's or a rival's sampler as a pure function of the network, the batch and its noise.
The noise of a picture is the same at every validation, so what changes is the network alone.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from drdd.data.library import Library
from drdd.data.pairs import Pair
from drdd.degradations.corruption import corrupt
from drdd.diffusion.keyed import keyed_generator
from drdd.diffusion.process import Conditioning
from drdd.diffusion.sampler import remove_noise, remove_residual
from drdd.diffusion.schedule import Schedule
from drdd.drawing.sheets import Cell, sheet
from drdd.methods.coupled import sample_coupled
from drdd.methods.regression import regress
from drdd.metrics.fidelity import psnr
from drdd.pictures.files import png
from drdd.pictures.pixels import Pixels
from drdd.training.order import to_tensor

COLUMNS = ("input", "output", "target")
ROWS = 8
CELL = (192, 192)


@dataclass(frozen=True)
class Held:
    """A centre crop of a held-out picture, (3, S, S) in [-1, 1]; name: unique in its group.

    degraded: what the stage has of it besides, the input of the pair or a corrupted copy; None where
    there is nothing.
    """

    group: str
    name: str
    target: Tensor
    degraded: Tensor | None


@dataclass(frozen=True)
class Attempt:
    """(B, 3, S, S) each. start: what a person would say it began from; output: the target's estimate."""

    start: Tensor
    output: Tensor


@dataclass(frozen=True)
class Validated:
    """psnr: by group, the mean over its pictures, in dB on uint8 RGB; grid: a PNG file.

    A group with an output that is not finite has NaN: no number stands for it.
    """

    psnr: dict[str, float]
    grid: bytes


Restore = Callable[[nn.Module, Tensor, Tensor | None, Tensor], Attempt]
"""(network, target, degraded, noise) -> Attempt; target, degraded and standard normal noise are
(B, 3, S, S), the first two in [-1, 1]."""


def held_out(
    library: Library, pairs: Mapping[str, Sequence[Pair]], size: int, each: int = 2
) -> list[Held]:
    """Of every group the first `each` pairs by name, as centre crops of `size` pixels.

    A side shorter than `size` is mirrored beyond both its ends. The two pictures of a pair are cropped
    each at its own centre. Raises UserError when a picture cannot be read, TransientError when it
    cannot be now.
    """
    return [
        Held(
            group,
            pair.image,
            _centre(library.pixels(pair.target), size),
            _centre(library.pixels(pair.input), size) if pair.input else None,
        )
        for group in sorted(pairs)
        for pair in sorted(pairs[group], key=lambda one: (one.name, one.corpus, one.variant))[:each]
    ]


def with_corrupted_copies(held: Sequence[Held], seed: int) -> list[Held]:
    """Each beside a corrupted copy of its target, as the conditioning "estimate" is trained.

    A copy is a pure function of (seed, group, name) and the target.
    """
    return [
        replace(one, degraded=corrupt(one.target, _generator(seed, one, "corrupted")))
        for one in held
    ]


def noise_restore(schedule: Schedule, steps: int, conditioning: Conditioning) -> Restore:
    """The noise stage: from target + s * eps by its own sampler, eta 0, in `steps` steps.

    net: as `Net` says of the noise net. Beside x_t it sees `degraded` unless conditioning is "none":
    the pair's input, or for "estimate" a corrupted copy (`with_corrupted_copies`).
    """

    def restore(net: nn.Module, target: Tensor, degraded: Tensor | None, noise: Tensor) -> Attempt:
        start = target + schedule.fixed_noise * noise
        condition = None if conditioning == "none" else degraded
        return Attempt(start, remove_noise(net, schedule, start, steps, condition=condition)[-1])

    return restore


def residual_restore(schedule: Schedule, steps: int) -> Restore:
    """The residual stage: y_T = I_in + s * eps, de-residual in `steps` steps, then minus s * eps.

    So the output is what the noise stage would be given, without the noise that it would remove.
    """

    def restore(net: nn.Module, target: Tensor, degraded: Tensor | None, noise: Tensor) -> Attempt:
        assert degraded is not None
        fixed = schedule.fixed_noise * noise
        grid = schedule.residual_grid(steps)
        states, _ = remove_residual(net, schedule, degraded + fixed, degraded, grid)
        return Attempt(degraded, states[-1] - fixed)

    return restore


def coupled_restore(schedule: Schedule, steps: int) -> Restore:
    """The coupled rival, from I_in + s * eps, eta 0; steps: residual and noise steps together."""

    def restore(net: nn.Module, target: Tensor, degraded: Tensor | None, noise: Tensor) -> Attempt:
        assert degraded is not None
        sampled = sample_coupled(net, schedule, degraded, lambda purpose: noise, steps)
        return Attempt(degraded, sampled.output)

    return restore


def regression_restore(schedule: Schedule) -> Restore:
    """The plain rival: I_in - I_res_hat, without noise."""

    def restore(net: nn.Module, target: Tensor, degraded: Tensor | None, noise: Tensor) -> Attempt:
        assert degraded is not None
        return Attempt(degraded, regress(net, schedule, degraded).output)

    return restore


def validate(
    net: nn.Module,
    restore: Restore,
    held: Sequence[Held],
    seed: int,
    device: torch.device | str,
) -> Validated:
    """Restore every held-out crop, and compare it with its target.

    Crops go one at a time: in a batch, how a sum is rounded would depend on the others. eps is keyed by
    (seed, group, name) and drawn on the CPU. The order of `held` decides nothing. The network computes
    in evaluation mode without gradients and is left in the modes it was in.
    """
    shown: dict[str, list[_Shown]] = {}
    with _evaluating(net), torch.no_grad():
        for one in sorted(held, key=lambda one: (one.group, one.name)):
            attempt = _attempt(net, restore, one, seed, device)
            shown.setdefault(one.group, []).append(_compared(attempt, one))
    means = {
        group: float(np.mean([one.output_psnr for one in rows])) for group, rows in shown.items()
    }
    return Validated(means, _grid(shown))


@dataclass(frozen=True)
class _Shown:
    """A row of the grid; psnr in dB."""

    start: Pixels
    output: Pixels
    target: Pixels
    start_psnr: float
    output_psnr: float

    @property
    def cells(self) -> list[Cell]:
        """In the order of COLUMNS."""
        return [
            (self.start, f"{self.start_psnr:.1f} dB"),
            (self.output, f"{self.output_psnr:.1f} dB"),
            (self.target, ""),
        ]


def _attempt(
    net: nn.Module, restore: Restore, one: Held, seed: int, device: torch.device | str
) -> Attempt:
    noise = torch.randn(one.target.shape, generator=_generator(seed, one))
    degraded = None if one.degraded is None else one.degraded[None].to(device)
    return restore(net, one.target[None].to(device), degraded, noise[None].to(device))


def _generator(seed: int, one: Held, *purpose: str) -> torch.Generator:
    return keyed_generator(seed, "validation", one.group, one.name, *purpose)


def _compared(attempt: Attempt, one: Held) -> _Shown:
    start, output, target = map(_to_pixels, (attempt.start[0], attempt.output[0], one.target))
    finite = bool(attempt.output.isfinite().all())
    reached = _psnr(output, target) if finite else math.nan
    return _Shown(start, output, target, _psnr(start, target), reached)


def _psnr(one: Pixels, other: Pixels) -> float:
    return psnr(one.astype(np.float64), other.astype(np.float64))


def _grid(shown: Mapping[str, Sequence[_Shown]]) -> bytes:
    """A PNG file of at most ROWS rows; the first of every group, then the second of every group."""
    turns = [
        (turn, group, one.cells) for group, rows in shown.items() for turn, one in enumerate(rows)
    ]
    chosen = sorted(turns, key=lambda row: row[:2])[:ROWS]
    return png(np.asarray(sheet(COLUMNS, [(group, cells) for _, group, cells in chosen], CELL)))


@contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    """A part that was in evaluation mode within a network in training stays so afterwards."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _centre(pixels: Pixels, size: int) -> Tensor:
    """(H, W, 3) uint8 -> the middle, (3, size, size) in [-1, 1]."""
    missing = [max(0, size - side) for side in pixels.shape[:2]]
    mirrored = np.pad(pixels, [*((n // 2, n - n // 2) for n in missing), (0, 0)], mode="symmetric")
    top, left = ((side - size) // 2 for side in mirrored.shape[:2])
    return to_tensor(mirrored[top : top + size, left : left + size])


def _to_pixels(x: Tensor) -> Pixels:
    """(3, H, W) in [-1, 1] -> (H, W, 3) uint8, clamped; what is NaN becomes grey."""
    scaled = (x.float().nan_to_num(0.0).clamp(-1, 1) + 1) * 127.5
    pixels: Pixels = scaled.round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return pixels
