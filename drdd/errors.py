"""Failures that a person is told about: what went wrong, of which kind, and what to do."""

import errno
from dataclasses import dataclass
from typing import Literal

FULL = (errno.ENOSPC, errno.EDQUOT)
Kind = Literal["user", "transient", "interrupted", "unexpected"]


class _ToldError(Exception):
    """An error whose text is one sentence, followed by what to do, if that is known."""

    def __init__(self, sentence: str, remedy: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.remedy = remedy

    def __str__(self) -> str:
        return _joined(self.sentence, self.remedy)


class UserError(_ToldError):
    """Something the user can put right: bad params, bad data, a taken port.

    The text says what was wrong, where, and what to do. Retrying without a change cannot help.
    """


class TransientError(_ToldError):
    """Something that may pass by itself, such as a store that is down; retrying can help."""


@dataclass(frozen=True)
class Failure:
    """Why something failed. kind "unexpected": an error that nobody foresaw; remedy: "" when unknown."""

    kind: Kind
    sentence: str
    remedy: str = ""

    @property
    def retry(self) -> bool:
        """Whether trying again without a change may help."""
        return self.kind in ("transient", "unexpected")

    def __str__(self) -> str:
        return _joined(self.sentence, self.remedy)


def failure_of(error: BaseException) -> Failure:
    """The kind of an error, and the remedy that it carries or that its type suggests."""
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
    # OutOfMemoryError is torch's and Ray's, which need not be imported here.
    if isinstance(error, MemoryError) or "OutOfMemoryError" in type(error).__name__:
        return Failure("unexpected", sentence, OUT_OF_MEMORY)
    return Failure("unexpected", sentence)


OUT_OF_MEMORY = (
    "the machine, or its GPU, has too little memory, most likely: lower train.*.micro_batch, "
    "train.*.crop or serve.max_batch"
)


def _joined(sentence: str, remedy: str) -> str:
    return f"{sentence}; {remedy}" if remedy else sentence
