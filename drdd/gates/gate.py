"""The interface of a gate: a requirement that a model must meet before the alias moves to it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from drdd.gates.judgement import TaskResult


@dataclass(frozen=True)
class Verdict:
    """value: as measured, None if it must not be in metrics.json; said: a sentence for the user."""

    value: float | None
    passed: bool
    said: str


@dataclass(frozen=True)
class TaskEvidence:
    """The measurements of a task. champion: the version of the comparison, or None."""

    task: str
    result: TaskResult
    champion: str | None


@dataclass(frozen=True)
class RunEvidence:
    """The measurements of a run. latency_p95: 95th percentile of the latency of pictures, in seconds."""

    latency_p95: float


@dataclass(frozen=True, kw_only=True)
class Gate:
    """name: the key of its bound in params; label: the bounded quantity, for the user.

    missed: the verdict of a task that misses the gate.
    """

    name: str
    label: str
    bound: Literal["at least", "at most"]
    unit: str = ""
    missed: str = "missed"

    def needed(self, section: BaseModel) -> float | None:
        """The bound in a section of params; None if it is not set."""
        found: float | None = getattr(section, self.name)
        return found


@dataclass(frozen=True, kw_only=True)
class TaskGate(Gate):
    """A gate for each task with aligned pairs.

    judge: (evidence, bound) -> the verdict, or None when there is nothing to judge.
    """

    judge: Callable[[TaskEvidence, float], Verdict | None]


@dataclass(frozen=True, kw_only=True)
class RunGate(Gate):
    """A gate for the whole run. judge: as in TaskGate."""

    judge: Callable[[RunEvidence, float], Verdict | None]


def telling_digits(value: float, bound: float) -> int:
    """The number of decimals: two, or four if two would make a missed bound look met."""
    return 2 if value == bound or f"{value:z.2f}" != f"{bound:z.2f}" else 4
