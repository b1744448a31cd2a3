"""What Open Images' CSV files look like: the columns of each kind, by which every version from V4 to V7 is read.

Columns are found by their names in the header, never by their place: the boxes of train have eight more of them than
those of validation and test, and what a table has beyond these columns is passed by. Kinds and columns are those of
the official download page (https://storage.googleapis.com/openimages/web/download_v7.html) and of the files it names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple

#: What a column holds: 16 hex digits, any text, a number that must be there, one that may be missing, or a flag,
#: which is 1, 0, or -1 for unknown.
Holds = Literal["image", "text", "number", "maybe-number", "whole", "flag"]

#: The name of an image: how upstream writes it, and as we take it.
IMAGE_ID = re.compile(r"[0-9a-f]{16}")
SPLITS = ("train", "validation", "test")


class First(NamedTuple):
    """The ids that the first image and the first annotation of a split have in COCO JSON."""

    image: int
    annotation: int


#: Splits that stand one beside the other share no id: all images are 9,178,275, the boxes of train 14,610,229.
FIRST: Mapping[str, First] = MappingProxyType(
    {
        "train": First(1, 1),
        "validation": First(10_000_001, 100_000_001),
        "test": First(20_000_001, 200_000_001),
    }
)


def first(split: str) -> First:
    """Where the ids of a split begin; one of another name than upstream's counts like train."""
    return FIRST.get(split, FIRST["train"])


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of table: the columns it must have and those it may have, which of them name the image and the classes.

    `split` is the column that tells the split of a row, where there is one.
    """

    name: str
    image: str
    columns: Mapping[str, Holds]
    optional: Mapping[str, Holds]
    classes: tuple[str, ...] = ()
    split: str | None = None

    @property
    def known(self) -> Mapping[str, Holds]:
        """All columns that are read."""
        return {**self.columns, **self.optional}


def _kind(
    name: str,
    columns: Mapping[str, Holds],
    optional: Mapping[str, Holds] | None = None,
    classes: tuple[str, ...] = (),
    split: str | None = None,
) -> Kind:
    image = next(column for column, holds in columns.items() if holds == "image")
    return Kind(name, image, MappingProxyType(dict(columns)), MappingProxyType(dict(optional or {})), classes, split)


FLAGS = ("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside")
_CLICKS: Mapping[str, Holds] = {f"XClick{number}{axis}": "maybe-number" for axis in "XY" for number in range(1, 5)}

IMAGES = _kind(
    "images",
    {"ImageID": "image", "Subset": "text"},
    {
        **dict.fromkeys(
            ("OriginalURL", "OriginalLandingURL", "License", "AuthorProfileURL", "Author", "Title"), "text"
        ),
        "OriginalSize": "maybe-number",
        "OriginalMD5": "text",  # base64 of the 16 bytes
        "Thumbnail300KURL": "text",
        "Rotation": "maybe-number",  # empty or nan where the original was gone
    },
    split="Subset",
)
BOXES = _kind(
    "boxes",
    {
        "ImageID": "image",
        "LabelName": "text",
        **dict.fromkeys(("XMin", "XMax", "YMin", "YMax"), "number"),  # in this order, not as COCO has it
    },
    {"Source": "text", "Confidence": "maybe-number", **dict.fromkeys(FLAGS, "flag"), **_CLICKS},
    classes=("LabelName",),
)
MASKS = _kind(
    "masks",
    {"MaskPath": "text", "ImageID": "image", "LabelName": "text"},
    {
        "BoxID": "text",
        **dict.fromkeys(("BoxXMin", "BoxXMax", "BoxYMin", "BoxYMax", "PredictedIoU"), "maybe-number"),
        "Clicks": "text",
    },
    classes=("LabelName",),
)
RELATIONSHIPS = _kind(
    "relationships",
    {
        "ImageID": "image",
        "LabelName1": "text",
        "LabelName2": "text",
        **dict.fromkeys(("XMin1", "XMax1", "YMin1", "YMax1", "XMin2", "XMax2", "YMin2", "YMax2"), "number"),
        "RelationshipLabel": "text",
    },
    classes=("LabelName1", "LabelName2"),
)
IMAGE_LABELS = _kind(
    "image-labels",
    {"ImageID": "image", "LabelName": "text", "Confidence": "number"},
    {"Source": "text"},
    classes=("LabelName",),
)
POINTS = _kind(
    "points",
    {"ImageId": "image", "X": "number", "Y": "number", "Label": "text"},  # ImageId: upstream spells it so here alone
    {
        "EstimatedYesNo": "text",
        "Source": "text",
        **dict.fromkeys(("YesVotes", "NoVotes", "UnsureVotes"), "maybe-number"),
        "TextLabel": "text",
    },
    classes=("Label",),
)

#: Every kind by its name; those of labels are what `--labels` takes.
KINDS: Mapping[str, Kind] = MappingProxyType(
    {kind.name: kind for kind in (IMAGES, BOXES, MASKS, RELATIONSHIPS, IMAGE_LABELS, POINTS)}
)
