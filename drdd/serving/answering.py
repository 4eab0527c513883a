"""From a restoration to the response that carries it."""

import base64
import io

from fastapi import Response
from fastapi.responses import JSONResponse
from PIL import Image

from drdd.data.pictures import png
from drdd.serving.engine import Pixels
from drdd.serving.problems import ProblemError
from drdd.serving.schema import Format, ModelRef, RestoredOut, RestoreQuery, StateOut
from drdd.serving.service import Answer

# Quality 95 and full colour: what was restored should not be lost again.
SAVING: dict[Format, dict[str, int]] = {
    "jpeg": {"quality": 95, "subsampling": 0},
    "webp": {"quality": 95},
}


def response_of(answer: Answer, query: RestoreQuery, request_id: str) -> Response:
    """The picture in `query.format`, or JSON with every state. Raises ProblemError: 422."""
    height, width = answer.restoration.output.shape[:2]
    headers = {
        "X-Model-Alias": answer.model.alias,
        "X-Model-Version": answer.model.version,
        "X-Seconds": f"{answer.seconds:.3f}",
        "Server-Timing": f"wait;dur={answer.waited * 1e3:.1f}, "
        f"inference;dur={answer.seconds * 1e3:.1f}",
        "Cache-Control": "no-store",
    }
    if not query.states:
        content = _encoded(answer.restoration.output, query.format)
        return Response(content, media_type=f"image/{query.format}", headers=headers)
    restored = RestoredOut(
        output=_data_uri(answer.restoration.output),
        states=[
            StateOut(name=s.name, image=_data_uri(s.pixels)) for s in answer.restoration.states
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
    if format_ == "png":
        return png(pixels)
    buffer = io.BytesIO()
    try:
        Image.fromarray(pixels).save(buffer, format_, **SAVING[format_])
    except (OSError, ValueError):  # a side beyond 65,500 pixels in JPEG, 16,383 in WebP
        height, width = pixels.shape[:2]
        raise ProblemError(422, f"{width} x {height} pixels are too many for {format_}") from None
    return buffer.getvalue()


def _data_uri(pixels: Pixels) -> str:
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode()
