"""The numbers of a report as its tables show them: rounded, signed, with intervals and directions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import pandas as pd

NONE = "\N{EM DASH}"
MINUS = "\N{MINUS SIGN}"
KEYS = ["task", "input_id", "target_id"]  # of a row of images.parquet
COMPARED = ("kept", "fell")  # the verdicts of a task whose pictures the champion restored too

Ends = Sequence[float] | None


@dataclass(frozen=True)
class Metric:
    """lower: is a lower value better? unit: "" where there is none."""

    name: str
    digits: int
    unit: str = ""
    lower: bool = False

    @property
    def arrow(self) -> str:
        """Which way is better."""
        return "\N{DOWNWARDS ARROW}" if self.lower else "\N{UPWARDS ARROW}"

    def value(self, number: float | None) -> str:
        if number is None or not isfinite(number):
            return NONE
        return f"{number:.{self.digits}f}".replace("-", MINUS)

    def change(self, number: float | None) -> str:
        """With its sign; what rounds to 0 has none."""
        if number is None or not isfinite(number):
            return NONE
        text = f"{number:+.{self.digits}f}"
        return text[1:] if float(text) == 0 else text.replace("-", MINUS)

    def interval(self, ends: Ends, signed: bool = False) -> str:
        """ "" where there is none."""
        if ends is None:
            return ""
        return " to ".join((self.change if signed else self.value)(end) for end in ends)


PSNR = Metric("PSNR", 2, "dB")
METRICS = {
    "psnr_rgb": Metric("PSNR, RGB", 2, "dB"),
    "psnr_y": Metric("PSNR, Y", 2, "dB"),
    "ssim_rgb": Metric("SSIM, RGB", 4),
    "ssim_y": Metric("SSIM, Y", 4),
    "ms_ssim": Metric("MS-SSIM", 4),
    "feature_distance": Metric("Deep feature distance", 4, lower=True),
    "lpips": Metric("LPIPS", 4, lower=True),
    "niqe": Metric("NIQE", 2, lower=True),
    "frechet_features": Metric("Fréchet feature distance", 2, lower=True),
    "fid": Metric("FID", 1, lower=True),
    "kid": Metric("KID", 4, lower=True),
}


def metric_of(name: str) -> Metric:
    return METRICS.get(name, Metric(name.replace("_", " "), 4))


@dataclass(frozen=True)
class Row:
    """One metric of a task. change: output less input; verdict: "better", "worse", or "" when
    the interval of the change holds 0 or there is nothing to compare.
    """

    metric: Metric
    before: str
    after: str
    after_interval: str
    change: str
    change_interval: str
    champion: str
    verdict: str


def metric_rows(task: Mapping[str, Any], champion: Mapping[str, float]) -> list[Row]:
    """task: its entry in metrics.json; champion: the means of the champion's outputs, by metric.

    In the order of METRICS, those of single pictures and those of whole sets alike.
    """
    sets, intervals = task.get("sets", {}), task.get("intervals", {})
    before, after = ({**task[part], **sets.get(part, {})} for part in ("input", "output"))
    known = [name for name in METRICS if name in after or name in before]
    others = sorted((before.keys() | after.keys()) - METRICS.keys())
    return [
        _row(
            metric_of(name),
            (before.get(name), after.get(name)),
            task["gain"].get(name),
            intervals.get("output", {}).get(name),
            intervals.get("gain", {}).get(name),
            champion.get(name),
        )
        for name in [*known, *others]
    ]


def _row(
    metric: Metric,
    values: tuple[float | None, float | None],
    gain: float | None,
    after_interval: Ends,
    gain_interval: Ends,
    champion: float | None,
) -> Row:
    before, after = values
    if gain is None and before is not None and after is not None:
        gain = after - before
    return Row(
        metric,
        metric.value(before),
        metric.value(after),
        metric.interval(after_interval),
        metric.change(gain),
        metric.interval(gain_interval, signed=True),
        metric.value(champion),
        _verdict(metric, gain, gain_interval),
    )


def _verdict(metric: Metric, gain: float | None, ends: Ends) -> str:
    if gain is None or not isfinite(gain) or round(gain, metric.digits) == 0:
        return ""
    if ends is not None and ends[0] <= 0 <= ends[1]:
        return ""
    return "better" if (gain < 0) == metric.lower else "worse"


def gate_rows(gates: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What each gate asks, of what, what came, what was needed, in words; the missed ones first."""
    names = {
        "min_psnr_gain": ("PSNR gain", "at least"),
        "max_drop_vs_champion": ("drop against the champion", "at most"),
        "max_latency_p95": ("latency, p95", "at most"),
    }
    rows = []
    for gate in sorted(gates, key=lambda gate: bool(gate["passed"])):
        name, bound = names.get(gate["gate"], (gate["gate"].replace("_", " "), ""))
        value = Metric("", 2, gate["unit"])
        rows.append(
            {
                "name": name,
                "task": gate["task"],
                "value": value.value(gate["value"]),
                "needed": f"{bound} {value.value(gate['needed'])} {value.unit}".strip(),
                "unit": value.unit if gate["value"] is not None else "",
                "passed": gate["passed"],
                "said": gate["said"],
            }
        )
    return rows


def champion_row(champion: Mapping[str, Any]) -> dict[str, str]:
    """A task's comparison with the champion; change: dB, above 0 where this version is better."""
    drop, ends = champion.get("drop"), champion.get("interval")
    return {
        "verdict": champion["verdict"],
        "before": PSNR.value(champion.get("before")),
        "after": PSNR.value(champion.get("after")),
        "change": PSNR.change(None if drop is None else -drop),
        "interval": PSNR.interval(None if ends is None else (-ends[1], -ends[0]), signed=True),
        "images": str(champion.get("images", NONE)),
        "allowance": PSNR.value(champion.get("allowance")),
    }


def rival(
    metrics: Mapping[str, Any], scores: pd.DataFrame, champion: pd.DataFrame | None
) -> pd.DataFrame:
    """The champion's rows that stand beside ours: of tasks that were compared, of pictures in scores."""
    if champion is None:
        return scores.head(0)
    compared = [
        task
        for task, entry in metrics["tasks"].items()
        if entry["champion"] and entry["champion"]["verdict"] in COMPARED
    ]
    theirs = champion[champion["task"].isin(compared)].drop_duplicates(KEYS)
    return theirs.merge(scores[KEYS].drop_duplicates(), on=KEYS)


def output_means(rows: pd.DataFrame) -> dict[str, float]:
    """By metric, of the outputs of some pictures; {} of none."""
    if rows.empty:
        return {}
    return {m: float(rows[f"output_{m}"].mean()) for m in METRICS if f"output_{m}" in rows}


def with_gains(scores: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """scores with two more columns in dB: gain over the input, and champion_gain, NaN where
    `theirs`, as of `rival`, has no such picture.
    """
    champion = theirs.assign(champion_gain=_gain(theirs))[[*KEYS, "champion_gain"]]
    return scores.assign(gain=_gain(scores)).merge(champion, on=KEYS, how="left")


def _gain(scores: pd.DataFrame) -> pd.Series:
    return scores["output_psnr_rgb"] - scores["input_psnr_rgb"]
