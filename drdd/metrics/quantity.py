"""How a number is called and shown: rounded, signed, with its unit and the direction that is better."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

NONE = "\N{EM DASH}"
MINUS = "\N{MINUS SIGN}"
LOWER, HIGHER = "\N{DOWNWARDS ARROW}", "\N{UPWARDS ARROW}"

Ends = Sequence[float] | None


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """label: for a person; digits: decimals; unit: "" where there is none; lower: is lower better?"""

    label: str
    digits: int
    unit: str = ""
    lower: bool = False

    @property
    def arrow(self) -> str:
        """Which way is better."""
        return LOWER if self.lower else HIGHER

    @property
    def heading(self) -> str:
        """Such as "PSNR, RGB (dB)"; which way is better is said where lower is."""
        unit = f" ({self.unit})" if self.unit else ""
        return f"{self.label}{unit}{f' {LOWER}' if self.lower else ''}"

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
