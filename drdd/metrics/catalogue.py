"""The metrics, one entry each, with their names, units, protocols and functions.

Networks are imported when a metric is loaded, so showing numbers does not import them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from drdd.metrics.fidelity import PROTOCOL, psnr_rgb, psnr_y, ssim_rgb, ssim_y
from drdd.metrics.observed import Observed
from drdd.metrics.quantity import Quantity

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SetDistance:
    """A distance between the pictures of a task and their targets, as sets.

    embed: picture -> (D,), None if it is too small; distance: between sets (N, D) and (M, D).
    """

    embed: Callable[[Observed], "Tensor | None"]
    distance: Callable[["Tensor", "Tensor"], float]


Score = Callable[[Observed, Observed], float]
"""(picture, target) -> value; NaN if a picture is too small."""


@dataclass(frozen=True, kw_only=True)
class Metric(Quantity):
    """A metric. name: its key in metrics.json and in columns of images.parquet (input_NAME, ...).

    protocol: how it is computed, as a sentence, or as sentences by subject that metrics may share;
    file: the file of metrics.weights that it needs, or "".
    """

    name: str
    protocol: str | Mapping[str, object]
    file: str = ""

    @property
    def sentences(self) -> dict[str, object]:
        said = self.protocol
        return {self.name: said} if isinstance(said, str) else dict(said)


@dataclass(frozen=True, kw_only=True)
class PictureMetric(Metric):
    """A metric of a picture and its target.

    load: (path of `file`, or None) -> the function; raises UserError for a damaged file; listed: whether it
    is shown for each picture and at the top of the report; summary: key of its gain in summary.json, or "".
    """

    load: Callable[[Path | None], Score] = field(repr=False)
    listed: bool = True
    summary: str = ""


@dataclass(frozen=True, kw_only=True)
class SetMetric(Metric):
    """A metric of all pictures of a task and their targets. load: as in PictureMetric."""

    load: Callable[[Path | None], SetDistance] = field(repr=False)


def _ms_ssim(_: Path | None) -> Score:
    from drdd.metrics.ms_ssim import ms_ssim

    return lambda picture, target: ms_ssim(picture.pixels, target.pixels)


def _feature_distance(_: Path | None) -> Score:
    from drdd.metrics.perception import feature_distance

    return feature_distance


def _niqe(_: Path | None) -> Score:
    from drdd.metrics.niqe import niqe

    return lambda picture, target: niqe(picture.pixels)


def _lpips(weights: Path | None) -> Score:
    from drdd.metrics.lpips import Lpips

    assert weights is not None
    compare = Lpips(weights)
    return lambda picture, target: compare(picture.pixels, target.pixels)


def _frechet_features(_: Path | None) -> SetDistance:
    from drdd.metrics.distances import frechet
    from drdd.metrics.perception import pooled_features

    return SetDistance(pooled_features, frechet)


def _fid(weights: Path | None) -> SetDistance:
    from drdd.metrics.inception import fid

    return SetDistance(_inception(weights), fid)


def _kid(weights: Path | None) -> SetDistance:
    from drdd.metrics.inception import kid

    return SetDistance(_inception(weights), kid)


def _inception(weights: Path | None) -> Callable[[Observed], "Tensor"]:
    from drdd.metrics.inception import inception

    assert weights is not None
    network = inception(weights)
    return lambda picture: picture.seen_by(network)


ALEXNET, INCEPTION = "alexnet-owt-7be5be79.pth", "inception-2015-12-05.pt"
_ENTRIES: tuple[Metric, ...] = (
    PictureMetric(
        name="psnr_rgb",
        label="PSNR, RGB",
        digits=2,
        unit="dB",
        protocol=PROTOCOL,
        load=lambda _: lambda picture, target: psnr_rgb(picture.pixels, target.pixels),
        summary="psnr_gain",
    ),
    PictureMetric(
        name="psnr_y",
        label="PSNR, Y",
        digits=2,
        unit="dB",
        protocol=PROTOCOL,
        load=lambda _: lambda picture, target: psnr_y(picture.pixels, target.pixels),
        listed=False,
    ),
    PictureMetric(
        name="ssim_rgb",
        label="SSIM, RGB",
        digits=4,
        protocol=PROTOCOL,
        load=lambda _: lambda picture, target: ssim_rgb(picture.pixels, target.pixels),
        summary="ssim_gain",
    ),
    PictureMetric(
        name="ssim_y",
        label="SSIM, Y",
        digits=4,
        protocol=PROTOCOL,
        load=lambda _: lambda picture, target: ssim_y(picture.pixels, target.pixels),
        listed=False,
    ),
    PictureMetric(
        name="ms_ssim",
        label="MS-SSIM",
        digits=4,
        protocol="SSIM at five scales, mean over RGB (Wang et al. 2003)",
        load=_ms_ssim,
    ),
    PictureMetric(
        name="feature_distance",
        label="Deep feature distance",
        digits=4,
        lower=True,
        protocol="of unit-length feature maps of EfficientNet-Lite0, at five depths; not LPIPS",
        load=_feature_distance,
    ),
    PictureMetric(
        name="niqe",
        label="NIQE",
        digits=2,
        lower=True,
        protocol="no target (Mittal et al. 2013), luma rounded, blocks of 96 x 96",
        load=_niqe,
    ),
    PictureMetric(
        name="lpips",
        label="LPIPS",
        digits=4,
        lower=True,
        protocol="version 0.1, AlexNet",
        file=ALEXNET,
        load=_lpips,
    ),
    SetMetric(
        name="frechet_features",
        label="Fréchet feature distance",
        digits=2,
        lower=True,
        protocol="Frechet distance of pooled EfficientNet-Lite0 features, all pictures; not FID",
        load=_frechet_features,
    ),
    SetMetric(
        name="fid",
        label="FID",
        digits=1,
        lower=True,
        protocol="Frechet distance of Inception's 2048 features, all pictures of the task",
        file=INCEPTION,
        load=_fid,
    ),
    SetMetric(
        name="kid",
        label="KID",
        digits=4,
        lower=True,
        protocol="unbiased, cubic kernel, Inception's 2048 features, all pictures of the task",
        file=INCEPTION,
        load=_kid,
    ),
)
METRICS = {metric.name: metric for metric in _ENTRIES}
PSNR = Quantity(label="PSNR", digits=2, unit="dB")


def metric_of(name: str) -> Quantity:
    """How to show a metric.

    One that is not registered, as in an older version, gets its name and four digits.
    """
    return METRICS.get(name) or Quantity(label=name.replace("_", " "), digits=4)


def listed() -> dict[str, PictureMetric]:
    """The metrics that are shown for each picture, by name."""
    return {n: m for n, m in METRICS.items() if isinstance(m, PictureMetric) and m.listed}
