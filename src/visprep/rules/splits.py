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
CLASS_UNEVEN = Rule(
    "class-uneven",
    Level.WARNING,
    Depth.NAMES,
    "A class of 200 records or more is more than 1 percentage point off the share of a part, in a stratified split.",
    "The part has more of it, or less, than was asked for, and scores of parts cannot be compared so well.",
    "group by something that makes smaller groups; or split anew without --extend, where parts may change",
    bad="Of 240 images with a kite 150 are of one game, which --group-by keeps together: 62.5% are in train, not 50%.",
    near="A class of 150 images, or a split without --stratify: there nobody asked for it.",
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

PART_DIFFERS = Rule(
    "part-differs",
    Level.ERROR,
    Depth.NAMES,
    "A file or the directory of a part does not hold the records that split.json says.",
    "Nobody can tell any more what was trained on, and --extend would put records into other parts.",
    "remove it, then run the same split again; or split anew into another place, if it was changed on purpose",
    bad="An image was taken out of `maxsight_test.json` by hand, and split.json still has it in test.",
    near="The file was formatted anew, with the same images: its manifest says so, and its members are right.",
)
PART_EMPTY = Rule(
    "part-empty",
    Level.WARNING,
    Depth.NAMES,
    "A part was to have records, and got none.",
    "Whoever trains or tests on it learns or measures nothing, and tools stop at an empty file.",
    "use --method exact; ask for more; or group by something that makes more, and smaller groups",
    bad="With --group-by game there are 3 games: by their hash two went to train, one to val, and none to test.",
    near="A part of which nothing was asked: --parts train=1.0,test=0.",
)
SPLIT_DAMAGED = Rule(
    "split-damaged",
    Level.ERROR,
    Depth.NAMES,
    "The split.json of a place that visprep split wrote cannot be read, or says two things of one record.",
    "It alone tells who is in which part, and why.",
    "take it from a copy; or remove it, then run the same split again",
    bad="A record stands among the `members` of train and of test.",
    near="A split.json of another tool: it is not looked into.",
)

RULES: tuple[Rule, ...] = (
    CLASS_ABSENT_FROM_PART,
    CLASS_UNEVEN,
    LEAK_ACROSS_PARTS,
    PART_DIFFERS,
    PART_EMPTY,
    SPLIT_DAMAGED,
)
