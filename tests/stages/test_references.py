"""references: held-out inputs restored by the task's reference, once, or an empty list."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drdd.data.library import Library
from drdd.data.pairs import HOLDOUT, read_pairs
from drdd.params import validate
from drdd.progress import Reporter
from drdd.references.weather import opening
from drdd.stages.paths import MEMBERS, PAIRS, REFERENCES
from drdd.stages.prepare import prepare
from drdd.stages.prepared import whereabouts
from drdd.stages.references import references
from drdd.stages.split import split
from drdd.storage.versions import addresses, listed
from tests.corpora import clean_corpus, files_of, paired_corpus, scene
from tests.project import tiny_params

HELD = range(4, 7)


def _content(**changes: Any) -> dict[str, Any]:
    content = tiny_params()
    content["corpora"] = {"nature": {"source": "n", "holdout": [str(n) for n in HELD]}}
    content["paired"] = {"album": {"input": "i", "target": "t", "holdout": [str(n) for n in HELD]}}
    content["tasks"] = {
        "rain": {"corpora": ["nature"], "degradation": [{"kind": "rain"}], **changes},
        "worn": {"paired": ["album"], **changes},
    }
    return content


@pytest.fixture
def pairs(workspace: Path) -> None:
    clean_corpus("nature", {f"{n}.png": scene(n, 24, 32) for n in range(7)})
    # Inputs 5 and 6 are one picture.
    inputs = {n: scene(90 + min(n, 5), 24, 32) for n in range(7)}
    paired_corpus("album", {str(n): (scene(50 + n, 24, 32), inputs[n]) for n in range(7)})
    params = validate(_content())
    split(params, Reporter("split"))
    for task in params.tasks:
        prepare(params, Reporter(f"prepare@{task}"), task)


def _restored(task: str, **changes: Any) -> dict[str, np.ndarray]:
    """By the id of the input."""
    references(validate(_content(**changes)), Reporter(f"references@{task}"), task)
    library = Library(addresses([REFERENCES / task]))
    return {
        pair.input: library.pixels(pair.target) for pair in read_pairs(REFERENCES / task / MEMBERS)
    }


@pytest.mark.parametrize(("task", "changes"), [("rain", {}), ("worn", {"reference": "opening"})])
def test_every_held_out_input_is_restored_and_nothing_else(
    pairs: None, task: str, changes: dict[str, str]
) -> None:
    restored = _restored(task, **changes)
    held = read_pairs(PAIRS / task / MEMBERS, HOLDOUT)
    assert restored.keys() == {pair.input for pair in held}
    inputs = Library(whereabouts({task: held}))
    for id_, pixels in restored.items():
        assert np.array_equal(pixels, opening(inputs.pixels(id_)))
    ids = [id_ for one in addresses([REFERENCES / task]) for id_ in one.ids]
    assert len(ids) == len(set(ids)) == len(restored)
    before = files_of(REFERENCES)
    _restored(task, **changes)
    assert files_of(REFERENCES) == before


@pytest.mark.parametrize(("task", "changes"), [("worn", {}), ("rain", {"reference": "none"})])
def test_a_task_without_a_reference_has_an_empty_list(
    pairs: None, task: str, changes: dict[str, str]
) -> None:
    _restored(task, reference="opening")
    assert _restored(task, **changes) == {}
    assert listed(REFERENCES / task) == []
