"""The rules of conversions: what a format cannot carry."""

from __future__ import annotations

from visprep.findings import Level
from visprep.rules import Depth, Rule

FIELD_LOST = Rule(
    "field-lost",
    Level.NOTE,
    Depth.NAMES,
    "The format that something was converted to cannot carry a field of its records.",
    "Whoever reads only the new files does not have it, and converted back it is not there.",
    "keep the original; or convert with --lossless, which refuses instead of losing anything",
    bad="An image has a `license`, and is converted to YOLO, whose labels have a class and a box.",
    near="An annotation with an unknown key `quality` is converted from COCO to COCO: it stays.",
)

RULES: tuple[Rule, ...] = (FIELD_LOST,)
