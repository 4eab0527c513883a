"""Overrides and enumerated values: what is valid is taken, what is not is refused with the nearest name."""

import pytest

from drdd.errors import UserError
from drdd.params import load
from tests.conftest import ROOT

PARAMS = ROOT / "params.yaml"


def test_a_setting_that_the_file_leaves_to_its_default_may_be_overridden() -> None:
    overrides = ["tasks.haze.max_drop_vs_champion=1.0", "tasks.haze.order=random"]
    haze = load(PARAMS, overrides).tasks["haze"]
    assert (haze.max_drop_vs_champion, haze.order) == (1.0, "random")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("tasks.haze.max_drop_vs_champio=1", "unknown key, did you mean 'max_drop_vs_champion'?"),
        ("tasks.hase.pairs=0.5", "has no 'tasks.hase.pairs', did you mean 'tasks.haze.pairs'?"),
        ("sead=1", "sead: unknown key, did you mean 'seed'?"),
        ("train.noise.schedule=cosin", "did you mean 'cosine'?"),
        ("train.noise.optimizer=adamW", "did you mean 'adamw'?"),
        ("tasks.haze.order=randon", "did you mean 'random'?"),
        ("method=regresion", "did you mean 'regression'?"),
    ],
)
def test_what_is_wrong_is_refused_with_the_nearest(override: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        load(PARAMS, [override])
    assert said in str(error.value)
