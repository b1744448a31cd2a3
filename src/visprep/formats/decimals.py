"""Numbers in text files of labels: read strictly, and written so that they survive."""

from __future__ import annotations

import math
from decimal import Decimal

#: Decimals of a pixel that survive a way into another unit and back; more are the noise of that way.
_SURVIVING = 9


def number_in(text: str) -> float | None:
    """The number that a text is; None for what is none, and for what is not finite."""
    try:
        number = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def digits(number: float) -> str:
    """A number in the fewest digits that are read as the same again, without an exponent: some readers take none."""
    text = repr(float(number))
    return format(Decimal(text), "f") if "e" in text else text.removesuffix(".0")


def rounded(number: float) -> float:
    """A number of pixels to nine decimals: what had no more before it was computed with is the same again."""
    return round(number, _SURVIVING) + 0.0  # no minus before a zero
