"""Make the response of a restoration."""

import base64

import numpy as np
from fastapi import Response
from fastapi.responses import JSONResponse
from numpy.typing import NDArray

from drdd.errors import UserError
from drdd.pictures.files import encoded, png
from drdd.pictures.pixels import Pixels
from drdd.pictures.uncertainty import uncertainty_png
from drdd.serving.problems import ProblemError
from drdd.serving.schema import (
    Format,
    ModelRef,
    RestoredOut,
    RestoreQuery,
    StateOut,
    UncertaintyOut,
)
from drdd.serving.service import Answer


def response_of(answer: Answer, query: RestoreQuery, request_id: str) -> Response:
    """What the query asks for: the picture, its map of uncertainty, or JSON. Raises ProblemError: 422."""
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
    if not query.in_json:
        content = _encoded(answer.restoration.output, query.format)
        return Response(content, media_type=f"image/{query.format}", headers=headers)
    restored = RestoredOut(
        output=_data_uri(png(answer.restoration.output)),
        uncertainty=None if deviation is None else _uncertainty(deviation, query.samples),
        states=[
            StateOut(name=s.name, image=_data_uri(png(s.pixels))) for s in answer.restoration.states
        ],
        model=ModelRef(alias=answer.model.alias, version=answer.model.version),
        seconds=answer.seconds,
        waited=answer.waited,
        width=width,
        height=height,
        request=request_id,
    )
    return JSONResponse(restored.model_dump(), headers=headers)


def _encoded(pixels: Pixels, format_: Format) -> bytes:
    try:
        return encoded(pixels, format_.upper())
    except UserError:
        height, width = pixels.shape[:2]
        raise ProblemError(422, f"{width} x {height} pixels are too many for {format_}") from None


def _uncertainty(deviation: NDArray[np.float32], samples: int) -> UncertaintyOut:
    return UncertaintyOut(
        image=_data_uri(uncertainty_png(deviation)),
        samples=samples,
        mean=float(deviation.mean()),
        largest=float(deviation.max()),
    )


def _data_uri(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()
