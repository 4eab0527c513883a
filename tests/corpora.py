"""Pictures and prepared workspaces, as the stages leave them, from small arrays."""

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from drdd.data.pairs import Pair, write_pairs
from drdd.data.shards import table_of, writing
from drdd.pictures.files import png
from drdd.pictures.pixels import Picture, Pixels, described
from drdd.stages.paths import CORPORA, MEMBERS, PAIRS, UNPAIRED, UNPAIRED_HELD_OUT


def encoded(image: Image.Image, format_: str, **options: object) -> bytes:
    """A picture file; options: of Pillow's writer."""
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def scene(seed: int, height: int = 72, width: int = 96) -> Pixels:
    """(H, W, 3): soft shapes and a little grain; scenes of different seeds are unlike."""
    generator = np.random.default_rng(seed)
    shapes = Image.fromarray(generator.integers(20, 236, (5, 6, 3), dtype=np.uint8))
    soft = np.asarray(shapes.resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
    grain = generator.integers(-6, 7, (height, width, 3))
    return (soft + grain).clip(0, 255).astype(np.uint8)


def picture(pixels: Pixels, name: str = "picture.png") -> Picture:
    """As intake makes it of a PNG."""
    return described(name, png(pixels), Image.fromarray(pixels))


def write_shards(folder: Path, pictures: Iterable[Picture]) -> None:
    """Each picture once."""
    once = {one.id: one for one in pictures}
    with writing(folder) as writer:
        writer.write(table_of(list(once.values())))


def clean_corpus(name: str, images: Mapping[str, Pixels]) -> list[Pair]:
    """data/corpora/<name>, as ingest leaves it but for the card; its members."""
    pictures = [picture(pixels, file) for file, pixels in images.items()]
    members = [Pair(name, one.name, one.id) for one in pictures]
    return _corpus(name, pictures, members)


def paired_corpus(name: str, images: Mapping[str, tuple[Pixels, Pixels]]) -> list[Pair]:
    """data/corpora/<name>, as ingest_pairs leaves it but for the card; images: (target, input) by key."""
    sides = {
        key: (picture(target, f"target/{key}.png"), picture(input_, f"input/{key}.png"))
        for key, (target, input_) in images.items()
    }
    members = [Pair(name, key, target.id, input_.id) for key, (target, input_) in sides.items()]
    return _corpus(name, [one for both in sides.values() for one in both], members)


def unpaired_pictures(members: Sequence[Pair], held_out: Sequence[Pair] = ()) -> None:
    """data/unpaired, as split leaves it."""
    write_pairs(UNPAIRED, members)
    write_pairs(UNPAIRED_HELD_OUT, held_out)


def task_pairs(task: str, pairs: Mapping[Pair, Pixels]) -> list[Pair]:
    """data/pairs/<task>, as prepare leaves it but for the card; pairs: the input of each target."""
    inputs = [picture(pixels, pair.name) for pair, pixels in pairs.items()]
    members = [
        Pair(p.corpus, p.name, p.target, one.id, p.split, p.variant)
        for p, one in zip(pairs, inputs, strict=True)
    ]
    write_shards(PAIRS / task, inputs)
    write_pairs(PAIRS / task / MEMBERS, members)
    return members


def _corpus(name: str, pictures: Sequence[Picture], members: list[Pair]) -> list[Pair]:
    write_shards(CORPORA / name, pictures)
    write_pairs(CORPORA / name / MEMBERS, members)
    return members


def files_of(folder: Path) -> dict[str, bytes]:
    """The bytes of everything below, by path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
