"""The page at /: its HTML, style and script, and sample pictures.

The page gets everything else from the API (templates/page.js) and makes no request to another host.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

from drdd.errors import UserError

TEMPLATES = Path(__file__).parent / "templates"
STATIC = (
    "page.css",
    "page.js",
    "api.js",
    "brush.js",
    "elements.js",
    "jobs.js",
    "model.js",
    "overlay.js",
    "scales.js",
)
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
PICTURE_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}

# Restored pictures come as data: and are shown as blob:; everything else comes from the service.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SAFE = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
}
ASK_AGAIN = "no-cache"
A_DAY = "public, max-age=86400, immutable"


@dataclass(frozen=True)
class Asset:
    """A file, read once, so that requests do not access the file system.

    caching: a Cache-Control header; etag: the SHA-256 of the content, in quotes.
    """

    content: bytes
    media_type: str
    caching: str
    etag: str

    @classmethod
    def read(cls, path: Path, media_type: str, caching: str) -> "Asset":
        content = path.read_bytes()
        return cls(content, media_type, caching, f'"{sha256(content).hexdigest()}"')

    def answer(self, request: Request) -> Response:
        """The content, or 304 if the browser has it already."""
        headers = {**SAFE, "ETag": self.etag, "Cache-Control": self.caching}
        known = request.headers.get("If-None-Match", "").split(",")
        if any(tag.strip().removeprefix("W/") in (self.etag, "*") for tag in known):
            return Response(status_code=304, headers=headers)
        return Response(self.content, media_type=self.media_type, headers=headers)


def router(samples: Mapping[str, Path]) -> APIRouter:
    """The routes of the page: /, /static/..., /samples and /samples/NAME, not in the API's document.

    samples: name -> picture, in the order of display. Raises UserError for a picture that cannot be shown.
    """
    page = _template("page.html")
    static = {name: _template(name) for name in STATIC}
    pictures = {name: _sample(name, path) for name, path in samples.items()}
    routes = APIRouter(include_in_schema=False)

    @routes.api_route("/", methods=["GET", "HEAD"])
    async def show(request: Request) -> Response:
        return page.answer(request)

    @routes.api_route("/static/{name}", methods=["GET", "HEAD"])
    async def asset(name: str, request: Request) -> Response:
        return _named(static, name, "file").answer(request)

    @routes.get("/samples")
    async def names() -> dict[str, list[str]]:
        return {"samples": list(pictures)}

    @routes.api_route("/samples/{name}", methods=["GET", "HEAD"])
    async def sample(name: str, request: Request) -> Response:
        return _named(pictures, name, "sample").answer(request)

    return routes


def _template(name: str) -> Asset:
    path = TEMPLATES / name
    return Asset.read(path, MEDIA_TYPES[path.suffix], ASK_AGAIN)


def _sample(name: str, path: Path) -> Asset:
    media_type = PICTURE_TYPES.get(path.suffix.lower())
    if media_type is None:
        raise UserError(f"sample {name}: {path} is no PNG, JPEG or WebP by its name; leave it out")
    try:
        return Asset.read(path, media_type, A_DAY)
    except OSError as error:
        raise UserError(f"sample {name}: {path} cannot be read: {error.strerror}") from None


def _named(assets: Mapping[str, Asset], name: str, kind: str) -> Asset:
    """The asset called `name`, else 404. Names are looked up and never used as paths."""
    if name not in assets:
        raise HTTPException(404, f"there is no {kind} of this name")
    return assets[name]
