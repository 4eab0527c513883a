"""results/metrics.json: what a model reaches on the held-out pictures, and whether that is enough.

judge writes it; the report, the card, the registry's tables, the flow and the service read it.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Scores = dict[str, float]
"""By metric; of several pictures: the mean."""

Ends = tuple[float, float] | None
"""Of a 95 % interval; None where there are too few pictures for one."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Intervals(_Part):
    output: dict[str, Ends] = {}
    gain: dict[str, Ends] = {}


class Comparison(_Part):
    """Of a task with the champion: PSNR in dB, RGB, on the pictures that both restored.

    drop: below the champion, negative for a rise; interval: of the drop; allowance: how far it may drop;
    verdict: "kept", "fell", or why there is no comparison, and then no numbers.
    """

    before: float | None = None
    after: float | None = None
    drop: float | None = None
    interval: Ends = None
    images: int = 0
    allowance: float
    verdict: str


class TaskResult(_Part):
    """gain: output less input; held_out: a digest of the held-out pairs; sets: by part (input, output).

    gated: false where input and target show different scenes, so that PSNR means nothing.
    """

    images: int
    held_out: str = ""
    gated: bool = True
    input: Scores
    output: Scores
    gain: Scores
    intervals: Intervals = Intervals()
    sets: dict[str, Scores] = {}
    champion: Comparison | None = None


class GateResult(_Part):
    """task: None for a gate of the whole run; value: None where it is measured, not reproduced."""

    gate: str
    task: str | None
    value: float | None = None
    needed: float
    unit: str = ""
    passed: bool
    said: str


class Means(_Part):
    """Over tasks, of the metrics that all of them have."""

    input: Scores = {}
    output: Scores = {}
    gain: Scores = {}


class Judgement(_Part):
    """The whole of metrics.json.

    protocol: how the metrics are computed; not_computed: the others, with the reason; against: the
    champion's version; notes: what a person must know of the comparison.
    """

    protocol: dict[str, Any] = {}
    not_computed: dict[str, str] = {}
    tasks: dict[str, TaskResult] = {}
    mean: Means = Means()
    against: str | None = None
    gates: list[GateResult] = []
    notes: list[str] = []
    passed: bool = Field(description="whether every gate is passed")

    @classmethod
    def of(cls, content: object) -> "Judgement | None":
        """From the content of a metrics.json; None when it is none that can be read."""
        try:
            return cls.model_validate(content)
        except ValidationError:
            return None

    def content(self) -> dict[str, Any]:
        """As metrics.json holds it."""
        return self.model_dump(mode="json")

    @property
    def missed(self) -> list[str]:
        """Why the alias must stay, a sentence a gate; [] when every gate is passed."""
        return [gate.said for gate in self.gates if not gate.passed]

    def gates_of(self, task: str) -> list[GateResult]:
        return [gate for gate in self.gates if gate.task == task]


def published(about: Mapping[str, Any]) -> Judgement | None:
    """Of a published version, from its manifest; None where it has none that can be read."""
    return Judgement.of(about.get("metrics"))
