"""The schema of results/metrics.json: metrics on the held-out pictures, and the results of the gates.

The judge stage writes it; the report, the card, the registry's tables, the flow and the service read it.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from drdd.settings import Name

Scores = dict[str, float]
"""Values by metric; means over several pictures."""

Ends = tuple[float, float] | None
"""The ends of a 95 % interval; None if there are too few pictures."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class _Parts(_Part):
    """Means of inputs, of what references made of them, and of outputs; gain: output minus input."""

    input: Scores
    reference: Scores = {}
    output: Scores
    gain: Scores

    def over_reference(self, metric: str) -> float | None:
        """Output minus reference; None without a reference."""
        if metric not in self.reference:
            return None
        return round(self.output[metric] - self.reference[metric], 4)


class Intervals(_Part):
    output: dict[str, Ends] = {}
    gain: dict[str, Ends] = {}


class Comparison(_Part):
    """The comparison of a task with the champion: PSNR in dB, RGB, on pictures that both restored.

    drop: below the champion, negative for a gain; interval: of the drop; allowance: maximum drop; verdict:
    "kept", "fell", or why there is no comparison (and no numbers).
    """

    before: float | None = None
    after: float | None = None
    drop: float | None = None
    interval: Ends = None
    images: int = 0
    allowance: float
    verdict: str


class TaskResult(_Parts):
    """The results of a task.

    held_out: a digest of the held-out pairs; sets: by part (input, reference, output); reference_name: None
    if the task has no reference.

    gated: false if input and target show different scenes, so that PSNR is meaningless.
    """

    images: int
    held_out: str = ""
    gated: bool = True
    reference_name: str | None = None
    intervals: Intervals = Intervals()
    sets: dict[str, Scores] = {}
    champion: Comparison | None = None


class GateResult(_Part):
    """task: None for a gate of the whole run; value: None if it is not reproducible, such as a latency."""

    gate: str
    task: str | None
    value: float | None = None
    needed: float
    unit: str = ""
    passed: bool
    said: str


class Means(_Parts):
    """Means over tasks, of the metrics that all tasks have; reference: {} unless all tasks have one."""

    input: Scores = {}
    output: Scores = {}
    gain: Scores = {}


class Judgement(_Part):
    """The whole of metrics.json.

    protocol: how the metrics are computed; not_computed: metrics without values, with reasons;
    against: the champion's version; notes: remarks on the comparison for the user.
    """

    protocol: dict[str, Any] = {}
    not_computed: dict[str, str] = {}
    tasks: dict[Name, TaskResult] = {}
    mean: Means = Means()
    against: str | None = None
    gates: list[GateResult] = []
    notes: list[str] = []
    passed: bool = Field(description="whether every gate is passed")

    @classmethod
    def of(cls, content: object) -> "Judgement | None":
        """Parse the content of a metrics.json; None if it is not valid."""
        try:
            return cls.model_validate(content)
        except ValidationError:
            return None

    def content(self) -> dict[str, Any]:
        """The content of metrics.json."""
        return self.model_dump(mode="json")

    @property
    def missed(self) -> list[str]:
        """A sentence for each missed gate; [] when all gates are passed."""
        return [gate.said for gate in self.gates if not gate.passed]

    def gates_of(self, task: str) -> list[GateResult]:
        return [gate for gate in self.gates if gate.task == task]


def published(about: Mapping[str, Any]) -> Judgement | None:
    """The judgement in the manifest of a published version; None without a valid one."""
    return Judgement.of(about.get("metrics"))
