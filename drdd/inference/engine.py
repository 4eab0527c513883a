"""Restore pictures with a model folder: any size in, the same size out, or `scale` times that."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import lcm
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drdd.checkpoints.folder import Model, load_model
from drdd.diffusion.keyed import keyed_noise
from drdd.errors import UserError
from drdd.inference.given import AnyPixels, Given, Mask, Picture, check_batch, taken
from drdd.inference.options import AS_EVALUATED, Options
from drdd.inference.samples import Moments
from drdd.inference.scales import scale_of
from drdd.inference.tiling import TiledNet, Tiles
from drdd.methods.method import Method
from drdd.nets.context import context_of

CHANGEABLE = (
    "residual_steps",
    "noise_steps",
    "noise_level",
)  # of Options, by the method's own names
BUCKET = 32
AT_ONCE = 2 * 1024**2  # pixels of a batch


Watch = Callable[[float], None]
"""Called with the share that is done, in (0, 1], after each tile of each network. What it raises ends the
restoring: so it is cancelled."""


@dataclass(frozen=True)
class ShownState:
    """A state of the trajectory, (H, W, 3). The last state of a single sample is the output."""

    name: str
    pixels: AnyPixels


@dataclass(frozen=True)
class Restoration:
    """The result of restoring one picture.

    output: (H, W, 3), or (H, W, 4) if alpha was given; uint8, uint16, or float32 in [0, 1], as was given;
    H and W are those of the picture, times the scale.
    states: the trajectory if `Options.states`, else ().
    deviation: (H, W) float32, of the samples, in levels of [0, 255]: the root of the mean over the channels
    of the variance. None for a single sample.
    """

    output: AnyPixels
    states: tuple[ShownState, ...] = ()
    deviation: NDArray[np.float32] | None = None

    def last(self, part: str) -> AnyPixels:
        """The last state of a part, such as "de-residual"; the output if the method has no such part."""
        found = [state.pixels for state in self.states if state.name.startswith(part)]
        return found[-1] if found else self.output


class Restorer:
    """A loaded model. Several threads take turns, tile by tile."""

    def __init__(self, model: Model, device: str = "cpu", tiles: Tiles | None = None) -> None:
        """Raises UserError when the device does not exist on this machine."""
        self._device = _device(device)
        self._tiles = tiles or Tiles()
        self.model = replace(
            model, nets={part: net.to(self._device) for part, net in model.nets.items()}
        )
        self._nets = {
            part: TiledNet(net, model.factor, self._tiles) for part, net in self.model.nets.items()
        }

    @classmethod
    def from_folder(cls, folder: str | Path, device: str = "cpu") -> "Restorer":
        """Raises UserError when `folder` holds no valid model."""
        if not isinstance(folder, str | os.PathLike):
            raise UserError(f"{folder!r} names no folder of a model")
        return cls(load_model(Path(folder)), device)

    @classmethod
    def from_pretrained(cls, uri: str | Path, device: str = "cpu") -> "Restorer":
        """Load a published model or a model folder; uri: as `drdd.registry.location.folder_of` takes it."""
        from drdd.registry.location import folder_of

        return cls.from_folder(folder_of(uri), device)

    def check(self, options: Options, masked: bool = False) -> None:
        """Raises UserError for options, and for a mask, that this model does not support."""
        self._method(options)
        scale_of(self.model, options.scale, masked)

    def bucket(self, pixels: AnyPixels, options: Options = AS_EVALUATED) -> tuple[int, int]:
        """(H', W'): the size at which (H, W, ...) is restored: enlarged, then mirrored at the borders.

        Pictures of one bucket may share a batch.
        """
        height, width = pixels.shape[:2]
        scale = scale_of(self.model, options.scale)
        return self._padded((height * scale, width * scale))

    def restore(
        self,
        picture: Picture,
        options: Options = AS_EVALUATED,
        key: str | None = None,
        mask: Mask | None = None,
        watch: Watch | None = None,
    ) -> Restoration:
        """`restore_batch` of one picture."""
        keys = None if key is None else [key]
        (restoration,) = self.restore_batch([picture], options, keys, [mask], watch)
        return restoration

    @torch.inference_mode()
    def restore_batch(
        self,
        pictures: Sequence[Picture],
        options: Options = AS_EVALUATED,
        keys: Sequence[str] | None = None,
        masks: Sequence[Mask | None] | None = None,
        watch: Watch | None = None,
    ) -> list[Restoration]:
        """Restore pictures of any sizes. Those of one bucket are batched.

        pictures: (H, W, 3) uint8, or whatever else `drdd.inference.given.taken` takes.
        masks: of each picture, None or (H, W), not 0 where it is to be filled; what lies there decides
        nothing, and all other pixels of the output are the picture's, to the bit. The model sees the hole
        under the grey of its training; one that has learned no such holes sees it filled smoothly.

        The noise of a picture is drawn for the whole picture from the streams of (seed, key); the default
        key is the SHA-256 of the pixels that the model sees. So, except for rounding in kernels, a result
        depends neither on other pictures nor on tiles. Raises UserError for a picture or a mask that cannot
        be used, and as `check` does.
        """
        method = self._method(options)
        check_batch(pictures, keys, masks)
        masks = [None] * len(pictures) if masks is None else masks
        masked = any(mask is not None for mask in masks)
        fill, scale = self._fill(), scale_of(self.model, options.scale, masked)
        given = [taken(one, mask, fill, scale) for one, mask in zip(pictures, masks, strict=True)]
        keys = [one.key for one in given] if keys is None else keys
        batches = list(self._batches(given))
        calls = sum(self._calls(given[first], method) for first, *_ in batches)
        work = _Work(watch, calls * options.samples)
        results: dict[int, Restoration] = {}
        for chosen in batches:
            batch = [given[i] for i in chosen]
            restored = self._together(batch, [keys[i] for i in chosen], method, options, work)
            results |= zip(chosen, restored, strict=True)
        return [results[i] for i in range(len(pictures))]

    def _padded(self, size: tuple[int, int]) -> tuple[int, int]:
        height, width = size
        unit = lcm(BUCKET, self.model.factor)
        return height + -height % unit, width + -width % unit

    def _batches(self, pictures: Sequence[Given]) -> Iterator[list[int]]:
        """Yield the indices of the pictures of each batch."""
        buckets: dict[tuple[int, int], list[int]] = {}
        for i, picture in enumerate(pictures):
            buckets.setdefault(self._padded(picture.size), []).append(i)
        for (height, width), indices in buckets.items():
            large = max(height, width) > self._tiles.size
            most = 1 if large else max(1, AT_ONCE // (height * width))
            for first in range(0, len(indices), most):
                yield indices[first : first + most]

    def _calls(self, picture: Given, method: Method) -> int:
        """How often `watch` is called for a sample of a batch with this picture."""
        size = self._padded(picture.size)
        return sum(
            len(method.timesteps(stage)) * net.calls(size) for stage, net in self._nets.items()
        )

    def _together(
        self,
        pictures: Sequence[Given],
        keys: Sequence[str],
        method: Method,
        options: Options,
        work: "_Work",
    ) -> list[Restoration]:
        """Restore the pictures of one bucket as a batch."""
        size = self._padded(pictures[0].size)
        degraded = torch.stack([one.tensor(*size) for one in pictures]).to(self._device)
        nets = {part: net.watched(work.done) for part, net in self._nets.items()}
        told = self.model.told(nets, self._contexts(pictures))
        kept: list[list[ShownState]] = [[] for _ in pictures]
        moments = Moments()
        for sample in range(options.samples):
            draw = keyed_noise(options.seed + sample, keys, degraded)
            for state in method.trajectory(told, degraded, draw):
                last = state
                if options.states and sample == 0:
                    for into, one, picture in zip(kept, state.image, pictures, strict=True):
                        into.append(ShownState(state.name, picture.pixels(one)))
            if options.samples > 1:
                moments.add(last.image)
        images = moments.mean if options.samples > 1 else last.image
        outputs = [one.output(one.pixels(x)) for one, x in zip(pictures, images, strict=True)]
        deviations = _deviations(pictures, moments) if options.samples > 1 else [None] * len(keys)
        return [
            Restoration(output, _ended(states, output, options), deviation)
            for output, states, deviation in zip(outputs, kept, deviations, strict=True)
        ]

    def _contexts(self, pictures: Sequence[Given]) -> Tensor | None:
        """Of the whole pictures, without what is mirrored; None if no net takes them."""
        if not self.model.in_context:
            return None
        whole = (one.tensor(*one.size)[None].to(self._device) for one in pictures)
        return torch.cat([context_of(x) for x in whole])

    def _fill(self) -> float | None:
        """The grey, in [0, 1], under which the model learned to fill holes; None if it did not."""
        fills = [use.fill for use in self.model.tasks.values() if use.fill is not None]
        return fmean(fills) if fills else None

    def _method(self, options: Options) -> Method:
        """The model's method with `options` applied.

        Raises UserError for options that it does not support.
        """
        if not isinstance(options, Options):
            raise UserError(f"options must be drdd.Options(...), got {type(options).__name__}")
        own = self.model.method
        changes = {n: v for n in CHANGEABLE if (v := getattr(options, n)) is not None}
        if unknown := ", ".join(name for name in changes if name not in own.options):
            raise UserError(f"{unknown}: this model restores {own.restores}; leave it out")
        try:
            changed = type(own)(replace(own.sampling, **changes))
            changed.check()
        except ValueError as error:
            raise UserError(f"{error}; ask for fewer steps or another noise level") from None
        return changed


class _Work:
    """Counts the calls of networks, and tells `watch` the share that is done."""

    def __init__(self, watch: Watch | None, calls: int) -> None:
        self._watch, self._calls, self._done = watch, calls, 0

    def done(self) -> None:
        self._done += 1
        if self._watch is not None:
            self._watch(min(1.0, self._done / self._calls))


def _deviations(pictures: Sequence[Given], moments: Moments) -> list[NDArray[np.float32] | None]:
    """Of each picture, (H, W) in levels of [0, 255]; 0 where the output is the given picture's."""
    found: list[NDArray[np.float32] | None] = []
    for one, x in zip(pictures, moments.deviation, strict=True):
        height, width = one.size
        deviation = (x[:height, :width] * 127.5).cpu().numpy()
        found.append(deviation if one.hole is None else np.where(one.hole, deviation, 0))
    return found


def _ended(
    states: Sequence[ShownState], output: AnyPixels, options: Options
) -> tuple[ShownState, ...]:
    """The states; that of the end is the output, which differs from it by what a mask keeps."""
    if not states or options.samples > 1:
        return tuple(states)
    return (*states[:-1], ShownState(states[-1].name, output[..., :3]))


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise UserError(f"device {name!r}: {str(error).splitlines()[0]}") from None
    return device
