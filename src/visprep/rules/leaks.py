"""The rules of leaks between parts that anyone made, and of the certificates that say that there are none."""

from __future__ import annotations

from visprep.findings import Level
from visprep.render.text import counted
from visprep.rules import Depth, Rule

CERTIFICATE_DAMAGED = Rule(
    "certificate-damaged",
    Level.ERROR,
    Depth.NAMES,
    "A certificate is not as `visprep leaks` wrote it: it was edited or cut off, or another version wrote it.",
    "What it says of the parts may be what somebody wished for.",
    "make a new one: visprep leaks PLACE --certificate FILE",
    bad='`"leaks": 3` was changed to `"leaks": 0`.',
    near="A certificate that was indented anew: its values are the same.",
)
CERTIFICATE_OUTDATED = Rule(
    "certificate-outdated",
    Level.ERROR,
    Depth.DECODE,
    "What a certificate says is no longer so: a part has other records or images, or another number of leaks.",
    "It speaks of data that is not the data that lies there.",
    "look at what changed; then make a new one: visprep leaks PLACE --certificate FILE",
    bad="An image was added to val/ after the certificate was made.",
    near="The place was moved to another directory: paths within the parts are what counts.",
)
IMAGE_NOT_COMPARED = Rule(
    "image-not-compared",
    Level.ERROR,
    Depth.DECODE,
    "An image of a part was not compared with those of others: it is missing, empty, or does not decode.",
    "It may be a copy of any image in another part; that none was found says nothing of it.",
    "put it right, or take it out of the part; visprep verify PLACE says what is wrong with it",
    bad="val/a.jpg is cut off in the middle.",
    near="train/a.jpg lies there and no annotation file names it: it is in no part.",
)
IMAGES_CROWDED = Rule(
    "images-crowded",
    Level.WARNING,
    Depth.DECODE,
    "Images are so many and so near to each other in looks that each was compared with some of these only.",
    "Two that look alike may be missed, and lie in two parts; copies by bytes or pixels are found all the same.",
    "group such images by what they are of: visprep split --group-by FIELD",
    bad="4,000 frames of a fixed camera at night, which differ by the noise of its sensor.",
    near="500 frames of it: up to so many, each is compared with each.",
)
LEAK_ACROSS_PLACES = Rule(
    "leak-across-places",
    Level.ERROR,
    Depth.DECODE,
    "A record has the same picture as one in the place that it was held against.",
    "A model that was trained on the one has seen the other: what is measured there is memory.",
    "leave the record out of one of the two",
    bad="A training set holds a photo of a benchmark, saved again as a smaller JPEG.",
    near="Two photos of the same kitchen from two sides.",
)
PART_NOT_COMPARED = Rule(
    "part-not-compared",
    Level.NOTE,
    Depth.NAMES,
    "Two parts were not compared with each other, or records are in no part and were compared with none.",
    "That no leak was found says nothing of them.",
    "if they are to share nothing, name them as places of their own: visprep leaks PLACE PLACE",
    bad="annotations/instances_train2014.json beside instances_val2017.json; holdout/ beside train/ and val/.",
    near="instances_test.json beside instances_train2017.json: a part of no year is compared with those of every year.",
)

RULES: tuple[Rule, ...] = (
    CERTIFICATE_DAMAGED,
    CERTIFICATE_OUTDATED,
    IMAGE_NOT_COMPARED,
    IMAGES_CROWDED,
    LEAK_ACROSS_PLACES,
    PART_NOT_COMPARED,
)


def in_words(crowded: int) -> str:
    """How many images were crowded, for a finding."""
    return f"{counted(crowded, 'image')} compared with some only of those that are near in looks: copies may be missed"
