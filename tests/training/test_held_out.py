"""Which held-out pictures validation sees, and which part of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from drdd.data.library import Library
from drdd.data.pairs import Pair
from drdd.errors import UserError
from drdd.stages.paths import CORPORA
from drdd.storage.versions import addresses
from drdd.training.validation import held_out
from tests.corpora import Pixels, clean_corpus, paired_corpus, scene

SIZE = 16
Stored = tuple[Library, Mapping[str, Sequence[Pair]]]


@pytest.fixture
def library(workspace: Path) -> Stored:
    """Pictures of three sizes, one smaller than a crop, and pairs whose two pictures differ in size."""
    clean = clean_corpus(
        "nature", {"c.png": scene(3, 40, 30), "a.png": scene(1, 24, 33), "b.png": scene(2, 9, 40)}
    )
    sky = clean_corpus("sky", {"aa.png": scene(4, 20, 20)})
    rain = paired_corpus(
        "rain",
        {"2": (scene(5, 30, 30), scene(6, 30, 30)), "1": (scene(7, 40, 40), scene(8, 24, 20))},
    )
    shards = addresses([CORPORA / name for name in ("nature", "sky", "rain")])
    return Library(shards), {"rain": rain, "clean": [*sky, *clean]}


def _shown(one: Tensor | None) -> Pixels:
    assert one is not None
    pixels: Pixels = ((one + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return pixels


def test_the_first_of_each_group_by_name_are_held(
    library: Stored,
) -> None:
    found = held_out(*library, SIZE, each=2)
    assert [(one.group, one.name) for one in found] == [
        ("clean", "nature/a.png"),
        ("clean", "sky/aa.png"),
        ("rain", "rain/1"),
        ("rain", "rain/2"),
    ]
    assert [one.degraded is None for one in found] == [True, True, False, False]
    assert all(one.target.shape == (3, SIZE, SIZE) for one in found)
    assert len(held_out(*library, SIZE, each=9)) == 6
    assert held_out(library[0], {"clean": []}, SIZE) == []


def test_a_crop_is_of_the_middle_of_its_own_picture(
    library: Stored,
) -> None:
    by_name = {one.name: one for one in held_out(*library, SIZE, each=9)}
    assert np.array_equal(_shown(by_name["nature/a.png"].target), scene(1, 24, 33)[4:20, 8:24])
    assert np.array_equal(_shown(by_name["rain/1"].target), scene(7, 40, 40)[12:28, 12:28])
    assert np.array_equal(_shown(by_name["rain/1"].degraded), scene(8, 24, 20)[4:20, 2:18])


def test_a_side_that_is_too_short_is_mirrored_at_both_ends(
    library: Stored,
) -> None:
    (small,) = [one for one in held_out(*library, SIZE, each=9) if one.name == "nature/b.png"]
    whole = scene(2, 9, 40)[:, 12:28]
    expected = np.concatenate([whole[2::-1], whole, whole[:-5:-1]])
    assert np.array_equal(_shown(small.target), expected)
    assert held_out(*library, 100, each=1)[0].target.shape == (3, 100, 100)


def test_a_picture_that_is_nowhere_is_named(
    library: Stored,
) -> None:
    with pytest.raises(UserError, match="picture lost is in none of the shards"):
        held_out(library[0], {"clean": [Pair("nature", "x.png", "lost")]}, SIZE)
