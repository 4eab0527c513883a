"""How a picture is to be restored: checked where it is said, in one sentence."""

from dataclasses import dataclass
from math import isfinite
from numbers import Integral, Real

from drdd.errors import UserError

MOST_STEPS, MOST_SAMPLES, MOST_SCALE, SEEDS = 100, 64, 8, 2**63
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
                raise UserError(f"{name} must be a whole number, got {value!r}")
            if not least <= int(value) <= most:
                raise UserError(f"{name} must be {least} to {most}, got {value}")
            object.__setattr__(self, name, int(value))
        self._check_noise_level()
        if not isinstance(self.states, bool):
            raise UserError(f"states must be True or False, got {self.states!r}")

    def _check_noise_level(self) -> None:
        level = self.noise_level
        if level is None:
            return
        if not isinstance(level, Real) or isinstance(level, bool):
            raise UserError(f"noise_level must be a number, got {level!r}")
        if not isfinite(level) or not 0 < level <= 1:
            raise UserError(f"noise_level must be above 0 and at most 1, got {level}")
        object.__setattr__(self, "noise_level", float(level))


AS_EVALUATED = Options()
