"""Restore pictures with a model folder: any size in, the same size out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from math import lcm
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from drdd.checkpoints.folder import Model, load_model
from drdd.diffusion.keyed import keyed_noise
from drdd.errors import UserError
from drdd.inference.tiling import TiledNet, Tiles
from drdd.methods.method import Method
from drdd.nets.context import context_of
from drdd.pictures.pixels import Pixels
from drdd.pictures.tensors import to_pixels, to_tensor

CHANGEABLE = (
    "residual_steps",
    "noise_steps",
    "noise_level",
)  # of Options, by the method's own names
BUCKET = 32
MOST_STEPS = 100
AT_ONCE = 2 * 1024**2  # pixels of a batch


@dataclass(frozen=True)
class Options:
    """Options for restoring. None: the setting with which the model was evaluated.

    residual_steps, noise_steps: 1 to 100, of the two parts; the coupled baseline uses their sum.
    noise_level: s in (0, 1]. states: keep every state of the trajectory.
    """

    residual_steps: int | None = None
    noise_steps: int | None = None
    noise_level: float | None = None
    seed: int = 0
    states: bool = False


@dataclass(frozen=True)
class ShownState:
    """A state of the trajectory as a picture. The last state of a restoration is the output."""

    name: str
    pixels: Pixels


@dataclass(frozen=True)
class Restoration:
    """The result of restoring one picture. states: the trajectory if `Options.states`, else ()."""

    output: Pixels
    states: tuple[ShownState, ...] = ()

    def last(self, part: str) -> Pixels:
        """The last state of a part, such as "de-residual"; the output if the method has no such part."""
        found = [state.pixels for state in self.states if state.name.startswith(part)]
        return found[-1] if found else self.output


class Restorer:
    """A loaded model. It is used by one thread at a time; other threads wait."""

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
        self._lock = Lock()

    @classmethod
    def from_folder(cls, folder: Path, device: str = "cpu") -> "Restorer":
        """Raises UserError when `folder` holds no valid model."""
        return cls(load_model(folder), device)

    @classmethod
    def from_pretrained(cls, uri: str | Path, device: str = "cpu") -> "Restorer":
        """Load a published model or a model folder; uri: as `drdd.registry.location.folder_of` takes it."""
        from drdd.registry.location import folder_of

        return cls.from_folder(folder_of(uri), device)

    def check(self, options: Options) -> None:
        """Raises UserError for options that this model does not support."""
        self._method(options)

    def bucket(self, pixels: Pixels) -> tuple[int, int]:
        """(H', W'): the size after mirroring at the borders. Pictures of one bucket may share a batch."""
        unit = lcm(BUCKET, self.model.factor)
        height, width = pixels.shape[:2]
        return height + -height % unit, width + -width % unit

    def restore(
        self, pixels: Pixels, options: Options = Options(), key: str | None = None
    ) -> Restoration:
        """`restore_batch` of one picture."""
        (restoration,) = self.restore_batch([pixels], options, None if key is None else [key])
        return restoration

    @torch.inference_mode()
    def restore_batch(
        self,
        pictures: Sequence[Pixels],
        options: Options = Options(),
        keys: Sequence[str] | None = None,
    ) -> list[Restoration]:
        """Restore pictures of any sizes. Those of one bucket are batched.

        The noise of a picture is drawn for the whole picture from the streams of (seed, key); the default
        key is the SHA-256 of its pixels. So, except for rounding in kernels, a result depends neither on
        other pictures nor on tiles. Raises UserError as `check` does.
        """
        method = self._method(options)
        if keys is None:
            keys = [sha256(pixels.tobytes()).hexdigest() for pixels in pictures]
        results: dict[int, Restoration] = {}
        for chosen in self._batches(pictures):
            batch = [pictures[i] for i in chosen]
            with self._lock:
                restored = self._together(batch, [keys[i] for i in chosen], method, options)
            results |= zip(chosen, restored, strict=True)
        return [results[i] for i in range(len(pictures))]

    def _batches(self, pictures: Sequence[Pixels]) -> Iterator[list[int]]:
        """Yield the indices of the pictures of each batch."""
        buckets: dict[tuple[int, int], list[int]] = {}
        for i, pixels in enumerate(pictures):
            buckets.setdefault(self.bucket(pixels), []).append(i)
        for (height, width), indices in buckets.items():
            large = max(height, width) > self._tiles.size
            most = 1 if large else max(1, AT_ONCE // (height * width))
            for first in range(0, len(indices), most):
                yield indices[first : first + most]

    def _together(
        self, pictures: Sequence[Pixels], keys: Sequence[str], method: Method, options: Options
    ) -> list[Restoration]:
        """Restore the pictures of one bucket as a batch."""
        degraded = self._padded(pictures)
        draw = keyed_noise(options.seed, keys, degraded)
        kept: list[list[ShownState]] = [[] for _ in pictures]
        nets = self.model.told(self._nets, self._contexts(pictures))
        for state in method.trajectory(nets, degraded, draw):
            last = state.image
            if options.states:
                for into, one, pixels in zip(kept, last, pictures, strict=True):
                    into.append(ShownState(state.name, _cut(one, pixels)))
        return [
            Restoration(_cut(one, pixels), tuple(on_the_way))
            for one, pixels, on_the_way in zip(last, pictures, kept, strict=True)
        ]

    def _contexts(self, pictures: Sequence[Pixels]) -> Tensor | None:
        """Of the whole pictures, without what is mirrored; None if no net takes them."""
        if not self.model.in_context:
            return None
        whole = (to_tensor(pixels)[None].to(self._device) for pixels in pictures)
        return torch.cat([context_of(x) for x in whole])

    def _method(self, options: Options) -> Method:
        """The model's method with `options` applied.

        Raises UserError for options that it does not support.
        """
        own = self.model.method
        changes = {n: v for n in CHANGEABLE if (v := getattr(options, n)) is not None}
        if unknown := ", ".join(name for name in changes if name not in own.options):
            raise UserError(f"{unknown}: this model restores {own.restores}; leave it out")
        for name in ("residual_steps", "noise_steps"):
            if not 1 <= changes.get(name, 1) <= MOST_STEPS:
                raise UserError(f"{name} must be 1 to {MOST_STEPS}, got {changes[name]}")
        try:
            changed = type(own)(replace(own.sampling, **changes))
            changed.check()
        except ValueError as error:
            raise UserError(f"{error}; ask for fewer steps or another noise level") from None
        return changed

    def _padded(self, pictures: Sequence[Pixels]) -> Tensor:
        """(H, W, 3) uint8 of one bucket -> (B, 3, H', W') in [-1, 1], mirrored below and right."""
        height, width = self.bucket(pictures[0])
        padded = torch.empty(len(pictures), 3, height, width, device=self._device)
        for into, pixels in zip(padded, pictures, strict=True):
            rows, columns = height - pixels.shape[0], width - pixels.shape[1]
            mirrored = np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode="symmetric")
            into.copy_(torch.from_numpy(mirrored).permute(2, 0, 1))
        return padded.div_(127.5).sub_(1)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device {name!r}: {str(error).splitlines()[0]}") from None
    return device


def _cut(x: Tensor, pixels: Pixels) -> Pixels:
    """(3, H', W') in [-1, 1] -> (H, W, 3) uint8, cropped to the size of `pixels`."""
    return to_pixels(x[:, : pixels.shape[0], : pixels.shape[1]])
