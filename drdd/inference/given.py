"""What callers hand to the engine: one door for arrays, pictures of Pillow and masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from drdd.errors import UserError
from drdd.inference.holes import filled_smoothly
from drdd.pictures.colours import alpha_of, depth_of, of_image, rgb_of
from drdd.pictures.errors import PictureError
from drdd.pictures.masks import hole_of
from drdd.pictures.opening import decoding
from drdd.pictures.pixels import Hole
from drdd.pictures.scaling import enlarged

AnyPixels = NDArray[Any]
"""(H, W, 3) RGB, upright: uint8, uint16, or float32 in [0, 1]; with alpha (H, W, 4)."""

Picture = NDArray[Any] | Image.Image
"""A picture as callers have it; see `taken`."""

Mask = NDArray[Any] | Image.Image
"""What is to be filled, as callers have it; see `taken`."""

WHITE = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}
WANTED = (
    "a picture is (H, W, 3) RGB, (H, W, 4) with alpha or (H, W) grey, of uint8, of uint16 or of floats in "
    "[0, 1]; or a picture of Pillow"
)


@dataclass(frozen=True, eq=False)
class Given:
    """A picture to be restored.

    original: (H, W, 3), as it came, but enlarged if the model enlarges; alpha: (H, W) of the same type,
    None without one; hole: what is to be filled, None without one; fill: the grey in [0, 1] under which
    the model learned to fill holes, None if it did not: then they are filled smoothly for it.
    """

    original: AnyPixels
    alpha: AnyPixels | None = None
    hole: Hole | None = None
    fill: float | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.original.shape[:2]
        return height, width

    @property
    def white(self) -> float:
        return WHITE[str(self.original.dtype)]

    @cached_property
    def seen(self) -> AnyPixels:
        """(H, W, 3): what the model sees. What lies under the hole decides nothing."""
        if self.hole is None:
            return self.original
        if self.fill is not None:
            filling = np.array(self.fill * self.white, np.float32)
        else:
            known = np.where(self.hole[..., None], 0, self.original).astype(np.float32)
            x = torch.from_numpy(known).permute(2, 0, 1)
            filling = filled_smoothly(x, torch.from_numpy(self.hole)).permute(1, 2, 0).numpy()
        if self.original.dtype != np.float32:
            filling = filling.round()
        return np.where(self.hole[..., None], filling.astype(self.original.dtype), self.original)

    @property
    def key(self) -> str:
        """SHA-256 of the pixels that the model sees."""
        return sha256(np.ascontiguousarray(self.seen).tobytes()).hexdigest()

    def tensor(self, height: int, width: int) -> Tensor:
        """(3, height, width) float32 in [-1, 1], mirrored below and to the right."""
        rows, columns = height - self.size[0], width - self.size[1]
        mirrored = np.pad(self.seen, ((0, rows), (0, columns), (0, 0)), mode="symmetric")
        levels = torch.from_numpy(mirrored.astype(np.float32, copy=False))
        return levels.permute(2, 0, 1).div(self.white / 2).sub_(1)

    def pixels(self, x: Tensor) -> AnyPixels:
        """(3, H', W') in about [-1, 1] -> (H, W, 3) of the given type: cropped, clamped, rounded."""
        height, width = self.size
        cut = x[:, :height, :width].float().nan_to_num(0.0).clamp_(-1, 1)
        levels = cut.add_(1).mul_(self.white / 2).permute(1, 2, 0).cpu()
        if self.original.dtype == np.float32:
            return np.ascontiguousarray(levels.numpy())
        return np.ascontiguousarray(levels.round_().numpy().astype(self.original.dtype))

    def output(self, restored: AnyPixels) -> AnyPixels:
        """The restored pixels, only inside the hole if there is one; with the given alpha."""
        if self.hole is not None:
            restored = np.where(self.hole[..., None], restored, self.original)
        if self.alpha is None:
            return restored
        return np.concatenate([restored, self.alpha[..., None]], axis=2)


def taken(
    picture: Picture, mask: Mask | None = None, fill: float | None = None, scale: int = 1
) -> Given:
    """A picture, and a mask if there is one; both `scale` times higher and wider than they came.

    picture: (H, W, 3) RGB, (H, W, 4) RGB and alpha, (H, W) or (H, W, 1) grey; of uint8, of uint16, or of
    floats in [0, 1]; floats come back as float32. Or a picture of Pillow in any mode but I and F, whose
    white is not known: it is turned upright as its EXIF says, and converted to sRGB if it has another
    profile.
    mask: (H, W) of bool; or of numbers, of which 0 means: this pixel stays as it is. Or a picture of
    Pillow, which marks what is white, or nearer to white than to black.

    Raises UserError, which says what was given and what is wanted.
    """
    given = _of_pillow(picture) if isinstance(picture, Image.Image) else _of_array(picture)
    if scale > 1:
        alpha = None if given.alpha is None else enlarged(given.alpha, scale)
        given = Given(enlarged(given.original, scale), alpha)
    if mask is None:
        return given
    return Given(given.original, given.alpha, _hole(mask, given.size), fill)


def check_batch(
    pictures: Sequence[Picture], keys: Sequence[str] | None, masks: Sequence[Mask | None] | None
) -> None:
    """Raises UserError unless there is a key, and a mask or None, for each picture of a sequence."""
    if isinstance(pictures, Image.Image | str | bytes) or not hasattr(pictures, "__len__"):
        raise UserError(f"{_kind(pictures)} was given as a batch; a batch is a list of pictures")
    if (
        isinstance(pictures, np.ndarray) and pictures.ndim < 4
    ):  # its rows would be taken for pictures
        raise UserError(
            f"an array of shape {pictures.shape} was given as a batch; a batch is a list of pictures",
            "give [picture]",
        )
    for name, ones in (("keys", keys), ("masks", masks)):
        if ones is None:
            continue
        if isinstance(ones, Image.Image | str | bytes) or not hasattr(ones, "__len__"):
            raise UserError(f"{_kind(ones)} was given as {name}; there must be one of each picture")
        if len(ones) != len(pictures):
            raise UserError(f"{len(ones)} {name} were given for {len(pictures)} pictures")
    for key in keys or ():
        if not isinstance(key, str):
            raise UserError(f"{_kind(key)} was given as a key; a key is a text")


def _of_array(array: Any) -> Given:
    if not isinstance(array, np.ndarray):
        raise UserError(f"{_kind(array)} was given; {WANTED}", _hint(array))
    if isinstance(array, np.ma.MaskedArray):
        raise UserError(f"a masked array was given; {WANTED}", "pass its filled() array and a mask")
    array, shape = np.asarray(array), array.shape  # a matrix cannot have three axes
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        turned = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        hint = "; this looks like (C, H, W): transpose it" if turned else ""
        raise UserError(f"an array of shape {shape} was given; {WANTED}{hint}")
    if 0 in shape:
        raise UserError(f"an array of shape {shape} was given, which has no pixels; {WANTED}")
    array = _typed(array)
    rgb = array[..., :3] if array.shape[2] > 1 else np.repeat(array, 3, axis=2)
    alpha = array[..., 3] if array.shape[2] == 4 else None
    return Given(np.ascontiguousarray(rgb), alpha)


def _typed(array: NDArray[Any]) -> AnyPixels:
    native = array.dtype.newbyteorder("=")
    if native in (np.uint8, np.uint16):
        return array.astype(native, copy=False)
    if array.dtype.kind != "f":
        raise UserError(f"an array of {array.dtype} was given; {WANTED}")
    if not np.isfinite(array).all():
        raise UserError(
            f"an array of {array.dtype} with NaN or infinite values was given; {WANTED}"
        )
    least, most = float(array.min()), float(array.max())
    if least < 0 or most > 1:
        raise UserError(
            f"an array of {array.dtype} from {least:.4g} to {most:.4g} was given; {WANTED}",
            "divide it by its white, such as 255, or convert it to uint8",
        )
    return array.astype(np.float32)


def _of_pillow(image: Image.Image) -> Given:
    try:
        with decoding():
            file = of_image(image)
            bits = depth_of(file)
            rgb, alpha = rgb_of(file, bits), alpha_of(file, bits)
    except PictureError as error:
        raise UserError(f"a picture of Pillow was given that cannot be used: {error}") from None
    if 0 in rgb.shape:
        raise UserError(
            f"a picture of Pillow of {image.width} x {image.height} pixels was given; {WANTED}"
        )
    return Given(np.ascontiguousarray(rgb), None if alpha is None else np.ascontiguousarray(alpha))


def _hole(mask: Any, size: tuple[int, int]) -> Hole:
    """Raises UserError for what is no mask of this size."""
    wanted = (
        f"a mask is (H, W) = {size} here, as the picture is, and not 0 where it is to be filled"
    )
    if isinstance(mask, Image.Image):
        mask = _of_mask(mask)
    if not isinstance(mask, np.ndarray):
        raise UserError(f"{_kind(mask)} was given as a mask; {wanted}")
    if isinstance(mask, np.ma.MaskedArray):
        raise UserError(f"a masked array was given as a mask; {wanted}", "pass its filled() array")
    if mask.shape != size:
        raise UserError(f"a mask of shape {mask.shape} was given; {wanted}")
    if mask.dtype.kind not in "buif" or (mask.dtype.kind == "f" and not np.isfinite(mask).all()):
        raise UserError(f"a mask of {mask.dtype} that is no plain number was given; {wanted}")
    return mask != 0


def _of_mask(image: Image.Image) -> Hole:
    try:
        with decoding():
            return hole_of(of_image(image))
    except PictureError as error:
        raise UserError(f"a mask of Pillow was given that cannot be used: {error}") from None


def _hint(value: object) -> str:
    match value:
        case str() | PurePath():
            return "open the file first: PIL.Image.open(path)"
        case bytes():
            return "open the file first: PIL.Image.open(io.BytesIO(content))"
        case list() | tuple():
            return "restore_batch takes several pictures"
        case Tensor():
            return "from (C, H, W), x.permute(1, 2, 0).numpy() makes an array"
    return ""


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and {value.dtype}"
    return f"a value of type {type(value).__name__}"
