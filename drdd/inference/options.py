"""How a picture is to be restored: checked where it is said, in one sentence."""

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

from drdd.errors import UserError
from drdd.settings import MOST_SCALE

MOST_STEPS, MOST_SAMPLES, SEEDS = 100, 64, 2**63
RANGES = {
    "residual_steps": (1, MOST_STEPS),
    "noise_steps": (1, MOST_STEPS),
    "seed": (0, SEEDS - 1),
    "samples": (1, MOST_SAMPLES),
    "scale": (1, MOST_SCALE),
}


@dataclass(frozen=True)
class Options:
    """Options for restoring. None: the setting with which the model was evaluated.

    residual_steps, noise_steps: 1 to 100, of the two parts; the coupled baseline uses their sum.
    noise_level: s in (0, 1]. seed: 0 to 2^63 - 1.
    states: keep every state of the trajectory, that of the first sample.
    samples: n, 1 to 64: restore with the seeds seed, ..., seed + n - 1, and return the mean.
    scale: 1 to 8: how many times higher and wider the output is, as in a task of the model; None: 1 if the
    model has such a task, else the only scale that it has.

    Raises UserError for a value of another type, or outside of its range.
    """

    residual_steps: int | None = None
    noise_steps: int | None = None
    noise_level: float | None = None
    seed: int = 0
    states: bool = False
    samples: int = 1
    scale: int | None = None

    def __post_init__(self) -> None:
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if value is None and type(self).__dataclass_fields__[name].default is None:
                continue
            if not isinstance(value, Integral) or isinstance(value, bool):
                raise UserError(f"{name} must be a whole number, got {_shown(value)}")
            if not least <= int(value) <= most:
                raise UserError(f"{name} must be {least} to {most}, got {_shown(int(value))}")
            object.__setattr__(self, name, int(value))
        self._check_noise_level()
        if not isinstance(self.states, bool | np.bool_):
            raise UserError(f"states must be True or False, got {_shown(self.states)}")
        object.__setattr__(self, "states", bool(self.states))

    def _check_noise_level(self) -> None:
        level = self.noise_level
        if level is None:
            return
        if not isinstance(level, Real) or isinstance(level, bool):
            raise UserError(f"noise_level must be a number, got {_shown(level)}")
        if not 0 < level <= 1:  # NaN is refused too
            raise UserError(f"noise_level must be above 0 and at most 1, got {_shown(level)}")
        object.__setattr__(self, "noise_level", float(level))


def _shown(value: object) -> str:
    """A short line of it, where Python itself would raise an error for a number of many digits too."""
    if isinstance(value, int) and abs(value) >= 10**20:
        return "a number of more than 20 digits"
    said = " ".join(repr(value.item() if isinstance(value, np.generic) else value).split())
    return said if len(said) <= 40 else f"{said[:37]}..."


AS_EVALUATED = Options()
