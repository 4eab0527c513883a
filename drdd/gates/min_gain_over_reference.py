"""min_gain_over_reference: the minimum mean gain of RGB PSNR over the task's reference."""

from pydantic import BaseModel, Field

from drdd.gates.gate import TaskEvidence, TaskGate, Verdict, telling_digits


class MinGainOverReference(BaseModel):
    min_gain_over_reference: float | None = Field(
        default=0.0,
        description="dB over what the task's reference, which is not trained, makes of the same inputs",
    )


def judge(evidence: TaskEvidence, bound: float) -> Verdict | None:
    """The verdict; None if the task has no reference."""
    result = evidence.result
    gain, name = result.over_reference("psnr_rgb"), result.reference_name
    if gain is None or name is None:
        return None
    return Verdict(gain, gain >= bound, in_words(evidence.task, gain, name, bound))


def in_words(task: str, gain: float, reference: str, bound: float) -> str:
    """Such as "rain is 1.32 dB below opening (at least +0.00 needed)"."""
    digits = telling_digits(gain, bound)
    if round(gain, digits) == 0:
        way = "is level with"
    else:
        way = f"is {abs(gain):.{digits}f} dB {'above' if gain > 0 else 'below'}"
    return f"{task} {way} {reference.replace('_', ' ')} (at least {bound:+.{digits}f} needed)"


GATE = TaskGate(
    name="min_gain_over_reference",
    label="gain over the reference",
    bound="at least",
    unit="dB",
    missed="below reference",
    judge=judge,
)
