"""Validation during training: restore a few held-out crops with the stage's sampler and measure PSNR.

The result is a pure function of the network, the pictures and their noise. The noise of a picture is the
same at every validation, so only the network changes.
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
from drdd.diffusion.process import Net, in_context
from drdd.metrics.fidelity import psnr
from drdd.nets.context import context_of
from drdd.pictures.pixels import Pixels
from drdd.pictures.tensors import to_pixels, to_tensor

ROWS = 8


@dataclass(frozen=True)
class Held:
    """A centre crop of a held-out picture, (3, S, S) in [-1, 1]; name: unique in its group.

    degraded: the input of the pair or a corrupted copy, if the stage uses one, else None;
    context: of the whole input of a pair, (12, S, S), else None.
    """

    group: str
    name: str
    target: Tensor
    degraded: Tensor | None
    context: Tensor | None = None


@dataclass(frozen=True)
class ShownRow:
    """A held-out crop to show: before and after restoring, and the target; PSNR in dB."""

    group: str
    before: Pixels
    output: Pixels
    target: Pixels
    before_psnr: float
    output_psnr: float


@dataclass(frozen=True)
class Validated:
    """psnr: mean by group, in dB on uint8 RGB; rows: at most ROWS crops to show.

    A group with a non-finite output has NaN.
    """

    psnr: dict[str, float]
    rows: tuple[ShownRow, ...]


Restore = Callable[[Net, Tensor, Tensor | None, Tensor], tuple[Tensor, Tensor]]
"""(network, target, degraded, noise) -> (input, output), as `Method.validate`; all are (B, 3, S, S)."""


def held_out(
    library: Library,
    pairs: Mapping[str, Sequence[Pair]],
    size: int,
    each: int = 2,
    contexts: bool = False,
) -> list[Held]:
    """The first `each` pairs by name of every group, as centre crops of `size` pixels.

    A side shorter than `size` is mirrored at both ends. Each picture of a pair is cropped at its own
    centre. contexts: whether the network takes them. Raises UserError when a picture cannot be read,
    TransientError when a store does not answer.
    """
    return [
        _held(group, pair, library, size, contexts)
        for group in sorted(pairs)
        for pair in sorted(pairs[group], key=lambda one: (one.name, one.corpus, one.variant))[:each]
    ]


def _held(group: str, pair: Pair, library: Library, size: int, contexts: bool) -> Held:
    if not pair.input:
        return Held(group, pair.image, _centre(library.pixels(pair.target), size), None)
    target, degraded = library.sides(pair)
    context = context_of(to_tensor(degraded)[None])[0] if contexts else None
    return Held(group, pair.image, _centre(target, size), _centre(degraded, size), context)


def with_corrupted_copies(held: Sequence[Held], seed: int) -> list[Held]:
    """Add a corrupted copy of its target to each crop, for the conditioning "estimate".

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
    """Restore every held-out crop and compare it with its target.

    Crops are restored one at a time, because rounding in a batch depends on the other crops. eps is keyed
    by (seed, group, name) and drawn on the CPU. The order of `held` does not matter. The network runs in
    evaluation mode without gradients; its modes are restored afterwards.
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
    told = in_context(net, None if one.context is None else one.context[None].to(device))
    begun, made = restore(told, one.target[None].to(device), degraded, noise[None].to(device))
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
    """Set evaluation mode in the block, and restore the mode of each module afterwards."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _centre(pixels: Pixels, size: int) -> Tensor:
    """(H, W, 3) uint8 -> its centre crop, (3, size, size) in [-1, 1]."""
    missing = [max(0, size - side) for side in pixels.shape[:2]]
    mirrored = np.pad(pixels, [*((n // 2, n - n // 2) for n in missing), (0, 0)], mode="symmetric")
    top, left = ((side - size) // 2 for side in mirrored.shape[:2])
    return to_tensor(mirrored[top : top + size, left : left + size])
