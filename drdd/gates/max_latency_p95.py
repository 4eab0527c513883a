"""max_latency_p95: the maximum 95th percentile of the latency of held-out pictures, in seconds.

Its verdict has no number, because metrics.json must be the same for the same model.
"""

from typing import Annotated

from pydantic import BaseModel, Field

from drdd.gates.gate import RunEvidence, RunGate, Verdict


class MaxLatencyP95(BaseModel):
    max_latency_p95: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="seconds that 95 % of the held-out pictures must be restored within, as measured; "
        "what a task must reach is in tasks",
    )


def judge(evidence: RunEvidence, bound: float) -> Verdict:
    passed = evidence.latency_p95 <= bound
    return Verdict(None, passed, in_words(passed, bound))


def in_words(passed: bool, bound: float) -> str:
    return f"95 % of the pictures {'were' if passed else 'were not'} restored within {bound:g} s"


GATE = RunGate(name="max_latency_p95", label="latency, p95", bound="at most", unit="s", judge=judge)
