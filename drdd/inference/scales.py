"""Which of a model's scales a caller means."""

from drdd.checkpoints.folder import Model
from drdd.errors import UserError


def scale_of(model: Model, asked: int | None, masked: bool = False) -> int:
    """The scale asked for; None: 1 if the model has a task of it, else the only scale that it has.

    Raises UserError for a scale of none of its tasks, for None where it has several and not 1, and for a
    mask that is to be enlarged.
    """
    scales = model.scales
    if asked is not None and asked not in scales:
        raise UserError(_lacking(scales, asked))
    if asked is None and 1 not in scales and len(scales) > 1:
        raise UserError(f"this model enlarges {_times(scales)}: say which", _remedy(scales))
    scale = asked if asked is not None else (1 if 1 in scales else scales[0])
    if masked and scale > 1:
        raise UserError(
            f"a mask was given, and the picture would be enlarged {scale} times",
            "fill the holes first, and enlarge what comes out",
        )
    return scale


def _lacking(scales: tuple[int, ...], asked: int) -> str:
    if scales == (1,):
        return f"scale {asked}: none of this model's tasks enlarges pictures; leave the scale out"
    return f"scale {asked}: this model has {_times(scales)}"


def _times(scales: tuple[int, ...]) -> str:
    return " and ".join(f"{scale} times" for scale in scales)


def _remedy(scales: tuple[int, ...]) -> str:
    return f"set the scale to {' or '.join(map(str, scales))}"
