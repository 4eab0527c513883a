"""What a gate is: something that a model must reach before the alias moves to it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from drdd.gates.judgement import TaskResult


@dataclass(frozen=True)
class Verdict:
    """value: as measured, None where it must not be in metrics.json; said: a sentence for a person."""

    value: float | None
    passed: bool
    said: str


@dataclass(frozen=True)
class TaskEvidence:
    """champion: the version that the task is compared with, None for none."""

    task: str
    result: TaskResult
    champion: str | None


@dataclass(frozen=True)
class RunEvidence:
    """latency_p95: seconds that 95 % of the pictures took at most."""

    latency_p95: float


@dataclass(frozen=True, kw_only=True)
class Gate:
    """name: its key in params, which holds the bound; label: what is bounded, for a person.

    missed: the word for a task that misses it.
    """

    name: str
    label: str
    bound: Literal["at least", "at most"]
    unit: str = ""
    missed: str = "missed"

    def needed(self, section: BaseModel) -> float | None:
        """The bound that a section of params sets; None where it asks for nothing."""
        found: float | None = getattr(section, self.name)
        return found


@dataclass(frozen=True, kw_only=True)
class TaskGate(Gate):
    """Asked of each task whose pairs show the same scenes.

    judge: (evidence, bound) -> the verdict; None where there is nothing to judge.
    """

    judge: Callable[[TaskEvidence, float], Verdict | None]


@dataclass(frozen=True, kw_only=True)
class RunGate(Gate):
    """Asked once. judge: as of a TaskGate."""

    judge: Callable[[RunEvidence, float], Verdict | None]


def telling_digits(value: float, bound: float) -> int:
    """Two, or four where two would show a missed bound as if it were met."""
    return 2 if value == bound or f"{value:z.2f}" != f"{bound:z.2f}" else 4
