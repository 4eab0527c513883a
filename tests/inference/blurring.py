"""A service for the page's tests that needs no model: it blurs, and remembers what was asked."""

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI
from PIL import Image, ImageFilter

from drdd.inference.engine import Restoration, ShownState, Watch
from drdd.inference.options import Options
from drdd.pictures.pixels import Hole, Pixels
from drdd.pictures.scaling import enlarged
from drdd.serving.asked import ApiLimits
from drdd.serving.http import make_api
from drdd.serving.service import Answer, Checked, ServedModel

STATES = ["noised input", "de-residual 1", "de-residual 2", "estimate", "de-noise 1", "de-noise 2"]
METRICS = {
    "protocol": {"psnr_rgb": "mean over RGB", "crop_border": 0},
    "tasks": {
        "low_light": {
            "images": 12,
            "input": {"psnr_rgb": 9.7, "ssim_rgb": 0.4, "niqe": 7.0},
            "reference": {"psnr_rgb": 16.5},
            "output": {"psnr_rgb": 18.34, "ssim_rgb": 0.71, "niqe": 5.5},
            "gain": {"psnr_rgb": 8.64, "ssim_rgb": 0.31},
            "intervals": {"gain": {"psnr_rgb": [8.1, 9.05]}},
        }
    },
    "passed": True,
}


def noise_png(size: tuple[int, int] = (90, 60), seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize(size).save(buffer, "PNG")
    return buffer.getvalue()


class Fake:
    """A Service. asked: model and options of each request; problem: raised instead of an answer.

    scales: of the champion's tasks.
    """

    def __init__(self, key: str | None = None) -> None:
        self._keys = (key,) if key else ()
        self.asked: list[tuple[str | None, Options]] = []
        self.holes: list[Hole | None] = []
        self.problem: Exception | None = None
        self.deviation = 2.0  # levels of the samples, twice as much in the lower half of a picture
        self.seconds: Callable[[Pixels], float] = lambda pixels: 0.0
        self.metrics: dict[str, Any] = METRICS
        self.scales: tuple[int, ...] = (1,)
        self.versions = {"champion": "a1b2c3d4e5f6", "candidate": "0f9e8d7c6b5a"}

    def app(self, samples: dict[str, Path]) -> FastAPI:
        limits = ApiLimits(
            max_megabytes=1, max_pixels=50_000_000, timeout_s=20, api_keys=self._keys
        )
        return make_api(self, limits, samples)

    def ready(self) -> str | None:
        return None

    def waiting(self) -> int:
        return 0

    def models(self) -> list[ServedModel]:
        return [
            ServedModel(
                alias,
                version,
                self._tasks() if alias == "champion" else {"rain": 1},
                self.metrics if alias == "champion" else {},
                "2026-11-25T18:30:00+00:00",
                None if alias == "champion" else "its weights are damaged",
            )
            for alias, version in self.versions.items()
        ]

    def check(self, options: Options, model: str | None, masked: bool = False) -> Checked:
        served = {**self.versions, **{one: one for one in self.versions.values()}}
        return Checked(served[model or "champion"], options.scale or self.scales[0])

    def _tasks(self) -> dict[str, int]:
        if self.scales == (1,):
            return {"low_light": 1, "rain": 1}
        return {f"enlarge_{scale}" if scale > 1 else "rain": scale for scale in self.scales}

    async def restore(
        self,
        pixels: Pixels,
        options: Options,
        model: str | None,
        hole: Hole | None = None,
        watch: Watch | None = None,
    ) -> Answer:
        self.asked.append((model, options))
        self.holes.append(hole)
        await asyncio.sleep(self.seconds(pixels))
        pixels = enlarged(pixels, options.scale or 1)
        if self.problem:
            raise self.problem
        blurred = [blur(pixels[..., :3], radius) for radius in range(len(STATES))]
        states = [ShownState(name, x) for name, x in zip(STATES, blurred, strict=True)]
        served = next(
            one for one in self.models() if (model or "champion") in (one.alias, one.version)
        )
        deviation = None
        if options.samples > 1:
            deviation = np.full(pixels.shape[:2], self.deviation, np.float32)
            deviation[len(deviation) // 2 :] *= 2
        shown = tuple(states) if options.states else ()
        alpha = [pixels[..., 3]] if pixels.shape[2] == 4 else []
        restoration = Restoration(np.dstack([blurred[-1], *alpha]), shown, deviation)
        return Answer(restoration, served, seconds=0.41, waited=0.02, batch=1)


def blur(pixels: Pixels, radius: int) -> Pixels:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.BoxBlur(radius)))
