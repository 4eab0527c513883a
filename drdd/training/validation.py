"""Validation while training: a few held-out crops restored by the stage's own sampler, in dB, and seen.

What restores is the method's own sampler, as a pure function of the network, the pictures and their noise.
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
from drdd.metrics.fidelity import psnr
from drdd.pictures.pixels import Pixels
from drdd.pictures.tensors import to_pixels, to_tensor

ROWS = 8


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
class ShownRow:
    """A held-out crop to look at: what restoring began from, what it made, the target; psnr in dB."""

    group: str
    before: Pixels
    output: Pixels
    target: Pixels
    before_psnr: float
    output_psnr: float


@dataclass(frozen=True)
class Validated:
    """psnr: by group, the mean over its pictures, in dB on uint8 RGB; rows: at most ROWS to be shown.

    A group with an output that is not finite has NaN: no number stands for it.
    """

    psnr: dict[str, float]
    rows: tuple[ShownRow, ...]


Restore = Callable[[nn.Module, Tensor, Tensor | None, Tensor], tuple[Tensor, Tensor]]
"""(network, target, degraded, noise) -> what it begins from and what it makes of that, as
`Method.validate`; all are (B, 3, S, S)."""


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
    rows: dict[str, list[ShownRow]] = {}
    with _evaluating(net), torch.no_grad():
        for one in sorted(held, key=lambda one: (one.group, one.name)):
            rows.setdefault(one.group, []).append(_compared(net, restore, one, seed, device))
    means = {group: float(np.mean([row.output_psnr for row in of])) for group, of in rows.items()}
    return Validated(means, _chosen(rows))


def _compared(
    net: nn.Module, restore: Restore, one: Held, seed: int, device: torch.device | str
) -> ShownRow:
    noise = torch.randn(one.target.shape, generator=_generator(seed, one))
    degraded = None if one.degraded is None else one.degraded[None].to(device)
    begun, made = restore(net, one.target[None].to(device), degraded, noise[None].to(device))
    before, output, target = map(to_pixels, (begun[0], made[0], one.target))
    reached = _psnr(output, target) if bool(made.isfinite().all()) else math.nan
    return ShownRow(one.group, before, output, target, _psnr(before, target), reached)


def _generator(seed: int, one: Held, *purpose: str) -> torch.Generator:
    return keyed_generator(seed, "validation", one.group, one.name, *purpose)


def _psnr(one: Pixels, other: Pixels) -> float:
    return psnr(one.astype(np.float64), other.astype(np.float64))


def _chosen(rows: Mapping[str, Sequence[ShownRow]]) -> tuple[ShownRow, ...]:
    """The first of every group, then the second of every group, up to ROWS."""
    turns = sorted((turn, group) for group, of in rows.items() for turn in range(len(of)))
    return tuple(rows[group][turn] for turn, group in turns[:ROWS])


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
