"""How a number is shown: its label, rounding, sign, unit and better direction."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

NONE = "\N{EM DASH}"
MINUS = "\N{MINUS SIGN}"
LOWER, HIGHER = "\N{DOWNWARDS ARROW}", "\N{UPWARDS ARROW}"

Ends = Sequence[float] | None


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """How to show a number.

    label: its name; digits: decimals; unit: or ""; lower: whether lower is better.
    """

    label: str
    digits: int
    unit: str = ""
    lower: bool = False

    @property
    def arrow(self) -> str:
        """The arrow of the better direction."""
        return LOWER if self.lower else HIGHER

    @property
    def heading(self) -> str:
        """Such as "PSNR, RGB (dB)". The better direction is named if it is lower."""
        unit = f" ({self.unit})" if self.unit else ""
        return f"{self.label}{unit}{f' {LOWER}' if self.lower else ''}"

    def value(self, number: float | None) -> str:
        if number is None or not isfinite(number):
            return NONE
        return f"{number:.{self.digits}f}".replace("-", MINUS)

    def change(self, number: float | None) -> str:
        """The number with its sign, which is omitted if it rounds to 0."""
        if number is None or not isfinite(number):
            return NONE
        text = f"{number:+.{self.digits}f}"
        return text[1:] if float(text) == 0 else text.replace("-", MINUS)

    def interval(self, ends: Ends, signed: bool = False) -> str:
        """The interval as text; "" without one."""
        if ends is None:
            return ""
        return " to ".join((self.change if signed else self.value)(end) for end in ends)
