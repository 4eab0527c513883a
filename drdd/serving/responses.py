"""Make the response of a restoration."""

import base64

import numpy as np
from fastapi import Response
from fastapi.responses import JSONResponse
from numpy.typing import NDArray

from drdd.errors import UserError
from drdd.formats.carried import Carried, Written
from drdd.formats.writing import encoded
from drdd.inference.given import AnyPixels
from drdd.pictures.files import png
from drdd.pictures.profiles import eight_bits
from drdd.pictures.uncertainty import uncertainty_png
from drdd.serving.problems import ProblemError
from drdd.serving.schema import (
    NOTES,
    ModelRef,
    RestoredOut,
    RestoreQuery,
    StateOut,
    UncertaintyOut,
)
from drdd.serving.service import Answer


def response_of(answer: Answer, query: RestoreQuery, carried: Carried, request_id: str) -> Response:
    """What the query asks for: the picture, its map of uncertainty, or JSON. Raises ProblemError: 422.

    carried: of the input; the picture carries what the query keeps of it.
    """
    height, width = answer.restoration.output.shape[:2]
    headers = {
        "X-Model-Alias": answer.model.alias,
        "X-Model-Version": answer.model.version,
        "X-Seconds": f"{answer.seconds:.3f}",
        "Server-Timing": f"wait;dur={answer.waited * 1e3:.1f}, "
        f"inference;dur={answer.seconds * 1e3:.1f}",
        "Cache-Control": "no-store",
    }
    deviation = answer.restoration.deviation
    if query.answer == "uncertainty" and deviation is not None:
        return Response(uncertainty_png(deviation), media_type="image/png", headers=headers)
    written = _written(answer.restoration.output, carried, query)
    if written.said:
        said = "; ".join(written.said)
        headers[NOTES] = said.encode(
            "ascii", "replace"
        ).decode()  # names of profiles may be in any script
    if not query.in_json:
        media_type = f"image/{query.format}"
        return Response(written.content, media_type=media_type, headers=headers)
    restored = RestoredOut(
        output=_data_uri(written.content),
        notes=list(written.said),
        uncertainty=None if deviation is None else _uncertainty(deviation, query.samples),
        states=[
            StateOut(name=s.name, image=_data_uri(png(_shown(s.pixels))))
            for s in answer.restoration.states
        ],
        model=ModelRef(alias=answer.model.alias, version=answer.model.version),
        seconds=answer.seconds,
        waited=answer.waited,
        width=width,
        height=height,
        request=request_id,
    )
    return JSONResponse(restored.model_dump(), headers=headers)


def _written(pixels: AnyPixels, carried: Carried, query: RestoreQuery) -> Written:
    try:
        return encoded(pixels, carried, query.keeping(), query.written)
    except UserError as error:
        height, width = pixels.shape[:2]
        raise ProblemError(422, f"a picture of {width} x {height} pixels {error}") from None


def _shown(pixels: AnyPixels) -> AnyPixels:
    """(H, W, 3) uint8 of a state."""
    return pixels if pixels.dtype == np.uint8 else eight_bits(pixels)


def _uncertainty(deviation: NDArray[np.float32], samples: int) -> UncertaintyOut:
    return UncertaintyOut(
        image=_data_uri(uncertainty_png(deviation)),
        samples=samples,
        mean=float(deviation.mean()),
        largest=float(deviation.max()),
    )


def _data_uri(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()
