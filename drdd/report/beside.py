"""The champion beside this version, picture by picture, for the template."""

from dataclasses import dataclass

from drdd.evaluation.side_by_side import SideBySide
from drdd.report.figures import Figure, cut, detail, fitted
from drdd.report.findings import Findings

WIDTH = 520  # pixels of a picture in width


@dataclass(frozen=True)
class Beside:
    """A picture for the page. others: those that stand beside the slider.

    details: squares of all at full size, cut out where this version loses most against the champion.
    """

    one: SideBySide
    champion: Figure
    ours: Figure
    others: list[Figure]
    details: list[Figure]


def beside(one: SideBySide) -> Beside:
    named = {"input": one.input, "champion": one.champion, "this version": one.candidate}
    if one.reference is not None:
        named["reference"] = one.reference
    named["target"] = one.target
    box = detail(one.candidate, one.target, one.champion)
    whole = {name: fitted(name, pixels, WIDTH) for name, pixels in named.items()}
    return Beside(
        one,
        champion=whole.pop("champion"),
        ours=whole.pop("this version"),
        others=[whole[name] for name in ("target", "reference") if name in whole],
        details=[cut(name, pixels, box) for name, pixels in named.items()],
    )


def remarks(findings: Findings) -> list[str]:
    """Sentences on what the pictures do not show."""
    said = list(findings.beside_notes)
    ungated = {task for task, result in findings.metrics.tasks.items() if not result.gated}
    if shown := sorted(ungated & {one.task for one in findings.beside}):
        said.append(
            f"{', '.join(shown)}: input and target show different scenes, so PSNR says little"
        )
    if unknown := sorted({one.task for one in findings.beside if not one.held_out}):
        said.append(
            f"{', '.join(unknown)}: the champion was not evaluated on these pictures, and it is not known "
            "whether it learned from them"
        )
    return said
