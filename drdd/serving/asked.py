"""A request to restore, from its body to its answer: the same steps for /v1/restore and for jobs.

`received` -> Sent -> `checked` -> Checked -> `opened` -> Opened -> `restored` -> Answer ->
responses.response_of. What a request carries beside its picture passes through these.
"""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from fastapi import Request

from drdd.errors import UserError
from drdd.formats.carried import WITH_ALPHA, Carried
from drdd.inference.engine import Watch
from drdd.inference.given import AnyPixels
from drdd.pictures import colours
from drdd.pictures.pixels import Hole
from drdd.serving.jobs import Bounds
from drdd.serving.memory import (
    DECODING,
    Kind,
    Reservation,
    bytes_carried,
    bytes_decoding,
    bytes_kept,
    refuse_costly,
)
from drdd.serving.problems import ProblemError
from drdd.serving.reading import Sent, header_of, hole_of, read_body, source_of
from drdd.serving.schema import RestoreQuery
from drdd.serving.service import Answer, BusyError, Checked, Service, UnknownModelError


@dataclass(frozen=True)
class ApiLimits:
    """timeout_s: of a request, without receiving its body; api_keys: () if none is required.

    keyless: of `metrics` and `docs`, what needs no key although there are some; at_once: requests to
    restore, waiting or not; job_timeout_s: of restoring a job.
    """

    max_megabytes: float
    max_pixels: int
    timeout_s: float
    api_keys: tuple[str, ...] = ()
    keyless: tuple[str, ...] = ()
    at_once: int = 1000
    job_timeout_s: float = 3600.0
    jobs: Bounds = field(default_factory=Bounds)


@dataclass(frozen=True)
class Opened:
    """What is restored. pixels: upright, in sRGB, of the output's depth; carried: for the output.

    hole: what is to be filled, if sent; scale: how many times higher and wider the output is; the memory is
    reserved for it.
    """

    pixels: AnyPixels
    carried: Carried
    hole: Hole | None = None
    scale: int = 1


async def received(request: Request, limits: ApiLimits, memory: Reservation) -> Sent:
    """Raises ProblemError as read_body does, BusyError."""
    return await read_body(request, limits.max_megabytes, limits.timeout_s, memory.reserve)


def checked(service: Service, sent: Sent, query: RestoreQuery) -> Checked:
    """Raises as Service.check does, and UserError for a depth that the answer's format does not have."""
    query.keeping().check(query.written)
    return service.check(query.options(), query.model, masked=sent.mask is not None)


async def opened(
    sent: Sent, query: RestoreQuery, scale: int, limits: ApiLimits, memory: Reservation
) -> Opened:
    """Decode what was sent. Then `memory` holds what it needs until its response is there.

    scale: of `checked`; limits are those of the output. Raises ProblemError: 413 or 422; BusyError.
    """
    file = await asyncio.to_thread(header_of, sent.image, limits.max_pixels, scale)
    size, kind = math.prod(file.size), _kind(file, query)
    refuse_costly(query.samples, size * scale**2, limits.max_pixels)
    kept = bytes_kept(query, size, scale, kind)
    # What the file carries is read from it, and so has its size at most.
    memory.reserve(2 * sent.size + max(bytes_decoding(size, kind), kept))
    source = await asyncio.to_thread(source_of, file, query.keeping(), query.written)
    del file
    kept += bytes_carried(query, _weight(source.carried))
    if sent.mask is None:
        memory.reserve(kept)
        return Opened(source.pixels, source.carried, scale=scale)
    memory.reserve(sent.size + kept + DECODING * size)
    shape = source.pixels.shape[:2]
    hole = await asyncio.to_thread(hole_of, sent.mask, shape, limits.max_pixels)
    memory.reserve(kept + hole.size)
    return Opened(source.pixels, source.carried, hole, scale)


def _kind(file: colours.Opened, query: RestoreQuery) -> Kind:
    """How its picture will be held, as its header lets expect at most."""
    keeping, format_ = query.keeping(), query.written
    image = file.image
    alpha = format_ in WITH_ALPHA and (image is None or image.has_transparency_data)
    beyond = keeping.profile == "keep" and bool(file.profile)
    return Kind(4 if alpha else 3, keeping.bits(file.depth, format_), beyond)


def _weight(carried: Carried) -> int:
    """Bytes of metadata and profile."""
    exif = carried.exif
    parts = (exif.main, exif.photo, exif.gps) if exif else ()
    fields = sum(len(one.data) for part in parts for one in part.values())
    return fields + len(carried.xmp) + len(carried.profile)


async def restored(
    service: Service, picture: Opened, query: RestoreQuery, watch: Watch | None = None
) -> Answer:
    """watch: of a job. Raises as Service.restore does."""
    options = replace(query.options(), scale=picture.scale)  # as reserved, whatever is served now
    return await service.restore(picture.pixels, options, query.model, picture.hole, watch)


@contextmanager
def in_words() -> Iterator[None]:
    """Turn errors of a request into problems."""
    try:
        yield
    except UnknownModelError as error:
        raise ProblemError(404, str(error)) from None
    except UserError as error:
        raise ProblemError(422, str(error)) from None
    except BusyError as error:
        after = str(max(1, math.ceil(error.retry_after_s)))
        said = f"as many requests wait as may; come back in {after} s"
        raise ProblemError(503, said, {"Retry-After": after}) from None
