"""prepare: the pairs of one task, nested by share, and something to judge it by."""

import json
from pathlib import Path

import numpy as np
import pytest

from drdd.data.intake import Photograph, fingerprint
from drdd.data.shards import HOLDOUT, TRAIN, Row, read_pairs, write_corpus
from drdd.errors import UserError
from drdd.params import Params, validate
from drdd.progress import Reporter
from drdd.stages.prepare import prepare
from tests.project import tiny_params


def _photographs(first: int, count: int) -> list[Row]:
    rows = []
    for seed in range(first, first + count):
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        rows.append(Row("nature", Photograph(fingerprint(pixels), f"{seed}.png", pixels)))
    return rows


def _corpus(training: int, held: int) -> None:
    folder = Path("data/corpora/nature")
    write_corpus(folder / TRAIN, _photographs(0, training))
    write_corpus(folder / HOLDOUT, _photographs(100, held))


def _params(pairs: float) -> Params:
    content = tiny_params()
    content["tasks"]["haze"] |= {"pairs": pairs, "variants": 4}
    return validate(content)


def _prepared(pairs: float) -> set[tuple[str, bytes]]:
    prepare(_params(pairs), Reporter("prepare@haze"), "haze")
    rows = read_pairs(Path("data/pairs/haze") / TRAIN)
    return {(row.target.photograph.id, pixels.tobytes()) for row in rows for pixels in row.degraded}


def test_a_smaller_share_is_inside_a_larger_one(workspace: Path) -> None:
    _corpus(training=10, held=2)
    few, some, every = (_prepared(share) for share in (0.05, 0.25, 1.0))
    assert (len(few), len(some), len(every)) == (2, 10, 40)
    assert few < some < every
    card = json.loads(Path("data/pairs/haze/card.json").read_text())
    assert (card["train_pairs"], card["of"], card["holdout_pairs"]) == (40, 40, 2)


def test_held_out_photographs_are_in_no_training_pair(workspace: Path) -> None:
    _corpus(training=3, held=2)
    training = {id_ for id_, _ in _prepared(1.0)}
    held = {row.target.photograph.id for row in read_pairs(Path("data/pairs/haze") / HOLDOUT)}
    assert len(held) == 2
    assert not training & held


def test_a_task_without_a_held_out_photograph_is_refused(workspace: Path) -> None:
    _corpus(training=3, held=0)
    with pytest.raises(UserError, match=r"tasks\.haze: none of its corpora \(nature\) holds"):
        _prepared(1.0)
    assert not Path("data/pairs/haze").exists()
