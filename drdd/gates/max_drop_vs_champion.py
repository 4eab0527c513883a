"""max_drop_vs_champion: the maximum drop of RGB PSNR below the champion, on pictures both restored."""

from typing import Annotated

from pydantic import BaseModel, Field

from drdd.gates.gate import TaskEvidence, TaskGate, Verdict, telling_digits
from drdd.shown import short


class MaxDropVsChampion(BaseModel):
    max_drop_vs_champion: Annotated[float, Field(ge=0)] = Field(
        default=0.5, description="dB that it may lose against the model that the alias points to"
    )


def judge(evidence: TaskEvidence, bound: float) -> Verdict | None:
    """The verdict; None if the task was not compared."""
    found, champion = evidence.result.champion, evidence.champion
    if found is None or found.drop is None or champion is None:
        return None
    said = in_words(evidence.task, found.drop, champion, bound)
    return Verdict(found.drop, found.drop <= bound, said)


def in_words(task: str, drop: float, version: str, bound: float) -> str:
    """Such as "rain fell 0.61 dB below 1a2b3c (allowance 0.50)". drop: dB, negative for a gain."""
    digits = telling_digits(drop, bound)
    if round(drop, digits) == 0:
        way = "is level with"
    elif drop > 0:
        way = f"fell {drop:.{digits}f} dB below"
    else:
        way = f"is {-drop:.{digits}f} dB above"
    return f"{task} {way} {short(version)} (allowance {bound:.{digits}f})"


GATE = TaskGate(
    name="max_drop_vs_champion",
    label="drop against the champion",
    bound="at most",
    unit="dB",
    missed="fell",
    judge=judge,
)
