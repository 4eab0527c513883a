"""min_psnr_gain: the minimum mean gain of RGB PSNR over the degraded input."""

from pydantic import BaseModel, Field

from drdd.gates.gate import TaskEvidence, TaskGate, Verdict, telling_digits


class MinPsnrGain(BaseModel):
    min_psnr_gain: float = Field(
        default=0.0,
        description="dB over the degraded input that evaluation must show (aligned pairs alone)",
    )


def judge(evidence: TaskEvidence, bound: float) -> Verdict:
    gain = evidence.result.gain["psnr_rgb"]
    return Verdict(gain, gain >= bound, in_words(evidence.task, gain, bound))


def in_words(task: str, gain: float, bound: float) -> str:
    """Such as "rain gained 1.32 dB of the 1.50 needed"; more digits if two would make them look equal."""
    digits = telling_digits(gain, bound)
    return f"{task} gained {gain:z.{digits}f} dB of the {bound:.{digits}f} needed"


GATE = TaskGate(name="min_psnr_gain", label="PSNR gain", bound="at least", unit="dB", judge=judge)
