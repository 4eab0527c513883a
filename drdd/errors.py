"""Errors for the user: what went wrong, its kind, and what to do."""

import errno
from dataclasses import dataclass
from typing import Literal

FULL = (errno.ENOSPC, errno.EDQUOT)
Kind = Literal["user", "transient", "interrupted", "unexpected"]


class _ToldError(Exception):
    """An error whose text is a sentence, followed by a remedy if one is known."""

    def __init__(self, sentence: str, remedy: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.remedy = remedy

    def __str__(self) -> str:
        return _joined(self.sentence, self.remedy)


class UserError(_ToldError):
    """An error that the user can correct: bad params, bad data, a port in use.

    The text says what was wrong, where, and what to do. A retry without a change cannot help.
    """


class TransientError(_ToldError):
    """A temporary error, such as a store that is down; a retry may help."""


@dataclass(frozen=True)
class Failure:
    """The description of an error. kind: "unexpected" for all other errors; remedy: "" when unknown."""

    kind: Kind
    sentence: str
    remedy: str = ""

    @property
    def retry(self) -> bool:
        """Whether a retry without a change may help."""
        return self.kind in ("transient", "unexpected")

    def __str__(self) -> str:
        return _joined(self.sentence, self.remedy)


def failure_of(error: BaseException) -> Failure:
    """The kind of an error, and its own remedy or one for its type."""
    sentence = str(error) or type(error).__name__
    match error:
        case UserError():
            return Failure("user", error.sentence, error.remedy)
        case TransientError():
            return Failure("transient", error.sentence, error.remedy)
        case KeyboardInterrupt():
            return Failure("interrupted", "interrupted", "run the same command again to go on")
        case OSError() if error.errno in FULL:
            remedy = "make room and run it again (docs/versions.md: `dvc gc` clears DVC's cache)"
            return Failure("user", sentence, remedy)
    # OutOfMemoryError of torch and Ray, compared by name to avoid their import.
    if isinstance(error, MemoryError) or "OutOfMemoryError" in type(error).__name__:
        return Failure("unexpected", sentence, OUT_OF_MEMORY)
    return Failure("unexpected", sentence)


OUT_OF_MEMORY = (
    "the machine, or its GPU, has too little memory, most likely: lower train.*.micro_batch, "
    "train.*.crop or serve.max_batch"
)


def _joined(sentence: str, remedy: str) -> str:
    return f"{sentence}; {remedy}" if remedy else sentence
