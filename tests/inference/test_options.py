"""Options are checked where they are said, and are of Python's own types."""

from typing import Any

import numpy as np
import pytest

from drdd.errors import UserError
from drdd.inference.options import Options


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"residual_steps": 0}, "residual_steps must be 1 to 100, got 0"),
        ({"noise_steps": 101}, "noise_steps must be 1 to 100, got 101"),
        ({"noise_steps": 2.0}, "noise_steps must be a whole number, got 2.0"),
        ({"noise_level": 0.0}, "noise_level must be above 0 and at most 1, got 0.0"),
        ({"noise_level": 1.5}, "noise_level must be above 0 and at most 1, got 1.5"),
        ({"noise_level": float("nan")}, "noise_level must be above 0 and at most 1, got nan"),
        ({"noise_level": "0.1"}, "noise_level must be a number, got '0.1'"),
        ({"noise_level": True}, "noise_level must be a number, got True"),
        ({"samples": 0}, "samples must be 1 to 64, got 0"),
        ({"samples": 65}, "samples must be 1 to 64, got 65"),
        ({"samples": "8"}, "samples must be a whole number, got '8'"),
        ({"samples": None}, "samples must be a whole number, got None"),
        ({"seed": -1}, "seed must be 0 to 9223372036854775807, got -1"),
        ({"seed": 2**63}, "seed must be 0 to 9223372036854775807, got 9223372036854775808"),
        ({"seed": True}, "seed must be a whole number, got True"),
        ({"seed": None}, "seed must be a whole number, got None"),
        ({"scale": 0}, "scale must be 1 to 8, got 0"),
        ({"scale": 2.5}, "scale must be a whole number, got 2.5"),
        ({"states": 1}, "states must be True or False, got 1"),
        ({"states": None}, "states must be True or False, got None"),
        ({"seed": 10**50}, f"seed must be 0 to {2**63 - 1}, got a number of more than 20 digits"),
        ({"seed": "x" * 900}, f"seed must be a whole number, got '{'x' * 36}..."),
        ({"seed": np.bool_(True)}, "seed must be a whole number, got True"),
        ({"noise_level": 1j}, "noise_level must be a number, got 1j"),
        (
            {"noise_level": 10**50},
            "noise_level must be above 0 and at most 1, got a number of more than 20 digits",
        ),
        ({"noise_level": np.float64(2)}, "noise_level must be above 0 and at most 1, got 2.0"),
        (
            {"noise_steps": np.array([1, 2])},
            "noise_steps must be a whole number, got array([1, 2])",
        ),
    ],
)
def test_a_wrong_option_is_said_in_a_sentence(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as refused:
        Options(**given)
    assert str(refused.value) == said


def test_numbers_of_numpy_are_those_of_python() -> None:
    """The noise is keyed by the text of the seed, which differs between the two."""
    options = Options(seed=np.int64(3), samples=np.int8(2), noise_level=np.float64(0.5))  # type: ignore[arg-type]
    assert Options(states=np.bool_(True)).states is True  # type: ignore[arg-type]
    assert options == Options(seed=3, samples=2, noise_level=0.5)
    assert [type(v) for v in (options.seed, options.samples, options.noise_level)] == [
        int,
        int,
        float,
    ]
