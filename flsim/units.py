"""Quantities with units: `"20 Mbit/s"` becomes `20e6`.

Inside flsim every quantity is a float in the base unit of its dimension (seconds, bytes, bits per
second, FLOP, FLOP per second). Only this module knows other units.
"""

import math
import re
from dataclasses import dataclass

from flsim.errors import nearest

_NUMBER = re.compile(r"\s*([-+]?(?:[0-9]+(?:_[0-9]+)*\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)\s*(.*?)\s*")
_SI = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_IEC = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}


def _scaled(symbol: str, factor: float, prefixes: dict[str, float]) -> dict[str, float]:
    return {prefix + symbol: scale * factor for prefix, scale in prefixes.items()}


@dataclass(frozen=True)
class Dimension:
    """A kind of quantity: its name, its base unit and the factor of every accepted unit."""

    name: str
    base: str
    factors: dict[str, float]

    def parse(self, value: object) -> float:
        """Return `value` in the base unit. A bare number already is.

        Raises ValueError for an unknown unit, a boolean, a NaN or an infinity.

        >>> RATE.parse("6 Mbit/s")
        6000000.0
        >>> TIME.parse("50 ms")
        0.05
        """
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError(f"{self.expected()}, not {type(value).__name__}")
        if isinstance(value, str):
            value = self._parse_text(value)
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise ValueError(f"{self.expected()}, and it must be finite")
        return number

    def _parse_text(self, text: str) -> float:
        match = _NUMBER.fullmatch(text)
        if match is None:
            raise ValueError(self.expected())
        number, unit = match.groups()
        if not unit:
            return float(number)
        if unit not in self.factors:
            raise ValueError(
                f"'{unit}' is not a unit of {self.name}; accepted: {', '.join(self.factors)}"
                + nearest(unit, self.factors)
            )
        return float(number) * self.factors[unit]

    def expected(self) -> str:
        """Say what a value of this dimension looks like."""
        units = [unit for unit in self.factors if unit != self.base]
        return f"expected {self.phrase}: a number in {self.base}, or one with a unit such as '2 {units[0]}'"

    @property
    def phrase(self) -> str:
        """The name with its article."""
        return f"{'an' if self.name[0] in 'aeiou' else 'a'} {self.name}"

    def format(self, value: float) -> str:
        """Return `value` to three digits, with the unit that reads best.

        >>> RATE.format(20e6), SIZE.format(5e5)
        ('20 Mbit/s', '500 kB')
        """
        if not math.isfinite(value) or value == 0:
            return f"{value:g} {self.base}"
        fitting = [
            unit for unit, factor in self.factors.items() if factor <= abs(value) and self._common(unit)
        ]
        unit = max(fitting, key=lambda unit: self.factors[unit], default=self.base)
        number = float(f"{value / self.factors[unit]:.3g}")
        return f"{number:g} {unit}".replace("e+", "e")

    def _common(self, unit: str) -> bool:
        """Whether the unit is the base unit with a decimal prefix; of times, all are."""
        return self is TIME or (unit.endswith(self.base) and not unit.removesuffix(self.base).endswith("i"))


TIME = Dimension(
    "time",
    "s",
    {"ms": 1e-3, "us": 1e-6, "ns": 1e-9, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0},
)
SIZE = Dimension(
    "size",
    "B",
    _scaled("B", 1.0, {**_SI, **_IEC}) | _scaled("bit", 1 / 8, _SI),
)
RATE = Dimension(
    "bandwidth",
    "bit/s",
    _scaled("bit/s", 1.0, _SI) | _scaled("bps", 1.0, _SI) | _scaled("B/s", 8.0, _SI),
)
WORK = Dimension("amount of compute", "FLOP", _scaled("FLOP", 1.0, _SI))
POWER = Dimension("power", "W", _scaled("W", 1.0, {"m": 1e-3, "": 1.0, "k": 1e3}))
SPEED = Dimension("compute speed", "FLOP/s", _scaled("FLOP/s", 1.0, _SI) | _scaled("FLOPS", 1.0, _SI))
