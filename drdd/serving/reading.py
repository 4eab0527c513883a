"""Read the body of a request and decode it safely."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace

from fastapi import Request
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from drdd.formats import reading
from drdd.formats.carried import Keeping, Source
from drdd.intake.decoding import ANY_SIZE, decode_mask, refuse_claims
from drdd.pictures.colours import Opened, opened
from drdd.pictures.opening import PictureError, PixelsError, decoding
from drdd.pictures.pixels import Hole
from drdd.serving.problems import ProblemError
from drdd.sources.entry import Blob

FORMATS = ("PNG", "JPEG", "WEBP")
MULTIPART, IMAGE, MASK = "multipart/form-data", "image", "mask"
# curl's --data-binary sends any file as the second of these by default.
RAW = {"", "application/x-www-form-urlencoded", "application/octet-stream"}
MIB = 1024**2


@dataclass(frozen=True)
class Sent:
    """The files of a request, as they arrived. mask: None without one."""

    image: bytes
    mask: bytes | None = None

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.image) + len(self.mask or b"")


async def read_body(
    request: Request, max_megabytes: float, timeout_s: float, holding: Callable[[int], None]
) -> Sent:
    """Read the files, up to `max_megabytes` in all. Raises ProblemError: 408, 413, 415 or 422.

    holding: called with the number of bytes so far; its errors end the reading.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != MULTIPART and kind not in RAW and not kind.startswith("image/"):
        raise ProblemError(
            415, f"content type {kind[:100]!r}; send a PNG, JPEG or WebP file as such"
        )
    most = int(max_megabytes * MIB)
    too_large = ProblemError(413, f"the body is larger than {max_megabytes:g} MiB")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > most:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise too_large
                holding(len(body))
    except TimeoutError:
        raise ProblemError(408, f"the body did not arrive within {timeout_s:g} s") from None
    except ClientDisconnect:
        raise ProblemError(400, "the client left before its body had arrived") from None
    if kind != MULTIPART:
        return Sent(bytes(body))
    # Parse in a thread with its own event loop, because a large form takes seconds.
    return await asyncio.to_thread(asyncio.run, _parts(request.headers, bytes(body)))


def header_of(body: bytes, max_pixels: int, scale: int = 1) -> Opened:
    """The picture of a body, of which only the header is decoded.

    Raises ProblemError: 413 for too many, also once `scale` times higher and wider; 422 if it is not a
    picture or decoding would take too long.
    """
    if not body:
        raise ProblemError(422, "the body is empty; send a picture file in it")
    try:
        with decoding():
            file = opened(body, FORMATS)
    except PixelsError:
        raise ProblemError(413, f"the picture has more than {max_pixels} pixels") from None
    except PictureError as error:
        raise ProblemError(422, f"the body cannot be used: {error}") from None
    width, height = file.size
    if width * height > max_pixels:
        raise ProblemError(
            413, f"the picture has {width} x {height} pixels, over the limit of {max_pixels}"
        )
    if width * height * scale**2 > max_pixels:
        raise ProblemError(
            413,
            f"the picture has {width} x {height} pixels; enlarged {scale} times it would have "
            f"{width * scale} x {height * scale}, over the limit of {max_pixels}",
        )
    try:
        refuse_claims(file, max_pixels)
    except PictureError as error:
        raise ProblemError(422, f"the body cannot be used: {error}") from None
    return file


def source_of(file: Opened, keeping: Keeping, format_: str) -> Source:
    """As drdd.formats.reading.source_of. Raises ProblemError: 422."""
    try:
        with decoding():
            return reading.source_of(file, keeping, format_)
    except PictureError as error:
        raise ProblemError(422, f"the picture cannot be used: {error}") from None


def hole_of(body: bytes, size: tuple[int, int], max_pixels: int) -> Hole:
    """What the mask file marks, (H, W) bool. size: (H, W) of the picture. Raises ProblemError: 422."""
    if not body:
        raise ProblemError(
            422, "the mask is empty; send a picture file in it, or leave the part out"
        )
    try:
        return decode_mask(Blob("mask", body), replace(ANY_SIZE, max_pixels=max_pixels), size)
    except PictureError as error:
        raise ProblemError(422, f"the mask cannot be used: {error}") from None


async def _parts(headers: Headers, body: bytes) -> Sent:
    """The file parts IMAGE and MASK of a form. The client's file names are ignored."""

    async def once() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        parser = MultiPartParser(
            headers, once(), max_files=10, max_fields=10, max_part_size=len(body) + 1
        )
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError, UnicodeDecodeError) as error:
        raise ProblemError(422, f"the form cannot be read: {_said(error)}") from None
    try:
        files = {name: part for name, part in form.multi_items() if isinstance(part, UploadFile)}
        if IMAGE not in files:
            raise ProblemError(422, f"the form has no file part {IMAGE!r}")
        if len(form.multi_items()) > len(files) or not files.keys() <= {IMAGE, MASK}:
            raise ProblemError(
                422,
                f"a form has the file part {IMAGE!r} and may have {MASK!r}, each once, and no other "
                "part; options belong into the query of the URL",
            )
        mask = await files[MASK].read() if MASK in files else None
        return Sent(await files[IMAGE].read(), mask)
    finally:
        await form.close()


def _said(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
