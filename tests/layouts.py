"""The public benchmarks in miniature, laid out on disk as their archives and usual mirrors unpack.

Each image is a small crop of a photograph. Training sets show `TRAIN`, test sets `TEST`.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from drdd.degradations.catalogue import SCHEMAS
from drdd.degradations.chain import Chain, degrade
from drdd.pictures.pixels import Pixels
from drdd.sources.packages import package_file

Build = Callable[[Path], None]
SIDE = 48
TRAIN, TEST = range(3), range(3, 6)


def _step(kind: str, **given: list[float]) -> dict[str, Any]:
    """What the given fields leave out has its default."""
    return SCHEMAS[kind].model_validate({"kind": kind, **given}).model_dump()


NOISE = [_step("gaussian_noise", sigma=[25, 25])]
RAIN = [_step("rain", density=[0.01, 0.01], length=[9, 15], strength=[0.2, 0.4])]
HAZE = [_step("haze", density=[0.3, 0.5])]
DARK = [_step("low_light", gain=[0.3, 0.4])]
BLUR = [_step("gaussian_blur", sigma=[1, 2])]
SNOW = [_step("snow", strength=[0.2, 0.4])]


@cache
def scenes() -> list[Pixels]:
    """(SIDE, SIDE, 3) crops of different photographs; enough for TRAIN and TEST."""
    names = ["astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg", "retina.jpg", "ihc.png"]
    images = [Image.open(package_file(f"skimage/data/{name}")).convert("RGB") for name in names]
    small = [image.resize((2 * SIDE, 2 * SIDE)) for image in images]
    return [np.asarray(image.crop((SIDE // 2, 8, SIDE // 2 + SIDE, 8 + SIDE))) for image in small]


def scene_of(pixels: Pixels) -> int:
    """The number of the scene that (SIDE, SIDE, 3) `pixels`, degraded or not, shows."""
    grey = pixels.mean(axis=2).ravel()
    likeness = [np.corrcoef(grey, scene.mean(axis=2).ravel())[0, 1] for scene in scenes()]
    return int(np.argmax(likeness))


def save(path: Path, scene: int, chain: Chain = ()) -> None:
    """The scene in the format of the suffix, degraded by the chain, a little differently each path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(degrade(scenes()[scene], chain, path.name)).save(path)


def rain(train: str, test: str) -> Build:
    """As first published: both sides of a pair in one folder, or the rainy side one deeper."""

    def build(root: Path) -> None:
        for n in TRAIN:
            save(root / train / f"norain-{n + 1}.png", n)
            save(root / train / f"rain-{n + 1}.png", n, RAIN)
            save(root / train / f"rainstreak-{n + 1}.png", 0, RAIN)
        for n in TEST:
            save(root / test / f"norain-{n:03}.png", n)
            save(root / test / f"rainy/rain-{n:03}.png", n, RAIN)

    return build


def rain_in_folders(root: Path) -> None:
    """Mirrors: gt and rainy, input and target."""
    for n in TRAIN:
        save(root / f"RainTrainL/gt/norain-{n + 1}.png", n)
        save(root / f"RainTrainL/rainy/rain-{n + 1}.png", n, RAIN)
    for n in TEST:
        save(root / f"Rain100L/target/{n}.png", n)
        save(root / f"Rain100L/input/{n}.png", n, RAIN)


def rain_in_second_version(root: Path) -> None:
    """The authors' later archive: the rainy image bears the clean one's name, and x2."""
    for part, numbers in (("RainTrainL", TRAIN), ("Rain100L", TEST)):
        for n in numbers:
            save(root / part / f"norain/norain-{n:03}.png", n)
            save(root / part / f"rain/X2/norain-{n:03}x2.png", n, RAIN)


def reside(root: Path) -> None:
    for n in TRAIN:
        save(root / f"OTS/clear/{n:04}.jpg", n)
        for part, beta in (("part1", "0.04"), ("part2", "0.2")):
            save(root / f"OTS/{part}/{n:04}_0.85_{beta}.jpg", n, HAZE)
    for n in TEST:
        save(root / f"SOTS/outdoor/gt/{n:04}.png", n)
        save(root / f"SOTS/outdoor/hazy/{n:04}_0.8_0.2.jpg", n, HAZE)
    save(root / "SOTS/indoor/hazy/1400_1.png", 0, HAZE)


def reside_renamed(root: Path) -> None:
    """Mirrors: original and synthetic, everything as PNG."""
    for n in TRAIN:
        save(root / f"OTS/original/{n:04}.png", n)
        for beta in ("0.04", "0.2"):
            save(root / f"OTS/synthetic/part1/{n:04}_1_{beta}.png", n, HAZE)
    for n in TEST:
        save(root / f"SOTS/outdoor/clear/{n:04}.png", n)
        save(root / f"SOTS/outdoor/hazy_png/{n:04}_0.8_0.2.png", n, HAZE)


def lol(root: Path) -> None:
    for part, numbers in (("our485", TRAIN), ("eval15", TEST)):
        for n in numbers:
            save(root / part / f"high/{n * 7 + 2}.png", n)
            save(root / part / f"low/{n * 7 + 2}.png", n, DARK)


def gopro(root: Path) -> None:
    """Frames bear the same numbers in every sequence."""
    for part, numbers in (("train", TRAIN), ("test", TEST)):
        for n in numbers:
            sequence = root / part / f"GOPR0{372 + n // 2}_07_0{n % 2}"
            save(sequence / "sharp/000047.png", n)
            save(sequence / "blur/000047.png", n, BLUR)
            save(sequence / "blur_gamma/000047.png", n, BLUR)


def gopro_in_two_folders(root: Path) -> None:
    """Mirrors: all sequences together."""
    for part, numbers in (("train", TRAIN), ("test", TEST)):
        for n in numbers:
            save(root / part / f"target/GOPR0372_07_00_{n:06}.png", n)
            save(root / part / f"input/GOPR0372_07_00_{n:06}.png", n, BLUR)


def bsd400(root: Path) -> None:
    for n in TRAIN:
        save(root / f"{n + 1}00075.jpg", n)


def wed(root: Path) -> None:
    for n in TRAIN:
        save(root / f"exploration_database_and_code/pristine_images/{n + 1:05}.bmp", n)


def cbsd68(root: Path) -> None:
    for n in TEST:
        save(root / f"CBSD68/original_png/{n:04}.png", n)
        save(root / f"CBSD68/noisy25/{n:04}.png", n, NOISE)


def cbsd68_alone(root: Path) -> None:
    for n in TEST:
        save(root / f"{n + 1}01085.png", n)


def snow100k(root: Path) -> None:
    test = "media/jdway/GameSSD/overlapping/test"
    for part, numbers in (
        ("all", TRAIN),
        (f"{test}/Snow100K-L", TEST),
        (f"{test}/Snow100K-S", TEST),
    ):
        for n in numbers:
            save(root / part / f"gt/beautiful_smile_0{n}.jpg", n)
            save(root / part / f"synthetic/beautiful_smile_0{n}.jpg", n, SNOW)
            save(root / part / f"mask/beautiful_smile_0{n}.jpg", 0)


def celeba_hq(root: Path) -> None:
    for part, numbers in (("train", TRAIN), ("val", TEST)):
        for n in numbers:
            save(root / part / ("female" if n % 2 else "male") / f"{n:06}.jpg", n)


def afhq(root: Path) -> None:
    for part, numbers in (("train", TRAIN), ("val", TEST)):
        for n in numbers:
            save(root / part / f"cat/flickr_cat_{n:06}.jpg", n)
            save(root / part / f"dog/flickr_dog_{n:06}.jpg", n)
            save(root / part / f"wild/flickr_wild_{n:06}.jpg", n)


# By their folder below data/benchmarks.
LAYOUTS: dict[str, Build] = {
    "Rain100L": rain("RainTrainL", "Rain100L"),
    "Rain100H": rain("RainTrainH", "Rain100H"),
    "RESIDE": reside,
    "LOL": lol,
    "GOPRO_Large": gopro,
    "BSD400": bsd400,
    "WED": wed,
    "CBSD68": cbsd68,
    "Snow100K": snow100k,
    "celeba_hq": celeba_hq,
    "afhq": afhq,
}
MIRRORS: list[tuple[str, Build]] = [
    ("Rain100L", rain_in_folders),
    ("Rain100L", rain_in_second_version),
    ("RESIDE", reside_renamed),
    ("GOPRO_Large", gopro_in_two_folders),
    ("CBSD68", cbsd68_alone),
]
