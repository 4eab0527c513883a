"""All 16 bits of the files of which Pillow keeps 8: PNG of RGB, or with alpha; PPM of more than 255 levels.

Pillow's unpackers take the first or the second byte of each sample: two passes give both.
"""

from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from drdd.pictures.errors import PictureError
from drdd.pictures.opening import open_picture
from drdd.pictures.png_chunks import SIGNATURE
from drdd.pictures.tiff import Layers

FLOATS = "floating-point pixels without a white are not read; convert it to 8 or 16 bits"


def is_deep(content: bytes, image: Image.Image) -> bool:
    """Whether the file has more than 8 bits, whatever Pillow makes of it. Raises PictureError: floats."""
    if image.mode == "F":
        raise PictureError(FLOATS)
    if image.mode.startswith("I"):
        return True
    if content.startswith(SIGNATURE):
        return content[24] == 16
    return image.format == "PPM" and _most(image) > 255


def layers_of(content: bytes, image: Image.Image) -> Layers:
    """Of a picture of depth 16; `image` is not decoded yet. Raises as a decoder may."""
    if image.format == "PPM":
        return _ppm(content, image) if image.mode == "RGB" else _grey(image)
    if image.mode.startswith("I"):
        return _grey(image)
    if content[25] == 4:  # grey with alpha: the four bytes of a pixel as they are
        four = _unpacked(content, "RGBA")
        both = _joined(four[..., ::2], four[..., 1::2])
        return Layers(both[..., :1], "L", both[..., 1])
    whole = _joined(np.asarray(image), _unpacked(content, f"{image.mode};16L"))
    alpha = whole[..., 3] if image.mode == "RGBA" else _clear(image, whole)
    return Layers(whole[..., :3], "RGB", alpha)


def _unpacked(content: bytes, raw: str) -> NDArray[np.uint8]:
    """The samples that Pillow's unpacker `raw` makes of a PNG."""
    image = cast(ImageFile.ImageFile, open_picture(content, ("PNG",)))
    image.tile = [tile._replace(args=raw) for tile in image.tile]
    return np.asarray(image)


def _joined(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.uint16]:
    whole = first.astype(np.uint16)
    whole <<= 8
    whole |= second
    return whole


def _clear(image: Image.Image, levels: NDArray[np.uint16]) -> NDArray[np.uint16] | None:
    """Alpha of a picture of which one colour is clear."""
    if (clear := image.info.get("transparency")) is None:
        return None
    return np.where((levels == np.array(clear)).all(axis=2), 0, 65535).astype(np.uint16)


def _grey(image: Image.Image) -> Layers:
    levels = np.asarray(image)[..., None]
    if levels.dtype != np.uint16:  # mode I, of a PPM
        levels = levels.clip(0, 65535).astype(np.uint16)
    return Layers(levels, "L", _clear(image, levels))


def _most(image: Image.Image) -> int:
    arguments = cast(ImageFile.ImageFile, image).tile[0].args
    return (
        int(arguments[-1])
        if isinstance(arguments, tuple) and isinstance(arguments[-1], int)
        else 255
    )


def _ppm(content: bytes, image: Image.Image) -> Layers:
    tile, most = cast(ImageFile.ImageFile, image).tile[0], _most(image)
    count = 3 * image.width * image.height
    if tile.codec_name == "ppm":
        raw = np.frombuffer(content, ">u2", count, tile.offset)
    else:
        words = b" ".join(line.partition(b"#")[0] for line in content[tile.offset :].splitlines())
        raw = np.array(words.split(maxsplit=count)[:count]).astype(np.uint32)
    levels = (raw.astype(np.uint32).clip(0, most) * 65535 + most // 2) // most
    return Layers(levels.astype(np.uint16).reshape(image.height, image.width, 3), "RGB")
