"""The rules of splits that visprep or others made: what their parts share, and what they lack."""

from __future__ import annotations

from visprep.findings import Level
from visprep.rules import Depth, Rule

CLASS_ABSENT_FROM_PART = Rule(
    "class-absent-from-part",
    Level.WARNING,
    Depth.NAMES,
    "A class that is in 3 records or more is in no record of one of the parts.",
    "It is never learned, or never measured: its score is missing, or counts as zero.",
    "use --method exact with --stratify; what is all of one group, or rarer than there are parts, cannot be in all",
    bad="Of the 4 images with a kite, 3 went to train, 1 to val, and none to test.",
    near="A class that is in 2 images: it cannot be in train, val and test.",
)
LEAK_ACROSS_PARTS = Rule(
    "leak-across-parts",
    Level.ERROR,
    Depth.NAMES,
    "Records that are the same, or of one group, are in different parts of a split.",
    "What was trained on is tested on, and the results are too good.",
    "leave the record out of one of the parts; split --clean leaves out a new record that ties two parts together",
    bad="An image came to a split that grew with --extend: it is a copy of one in train, and of another in test.",
    near="An image came that is a copy of two images in train: it goes to train.",
)

RULES: tuple[Rule, ...] = (CLASS_ABSENT_FROM_PART, LEAK_ACROSS_PARTS)
