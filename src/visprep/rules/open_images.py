"""The rules of places of Open Images: rows against images, classes and masks, and COCO JSON against the rows."""

from __future__ import annotations

from visprep.findings import Level
from visprep.rules import Depth, Rule, coco_all

_AGAIN = "run the download, or convert, again, into another directory, and compare; or take that line out"

ANNOTATION_UNLIKE_ROW = Rule(
    "annotation-unlike-row",
    Level.ERROR,
    Depth.HEADERS,
    "An annotation of Open Images' COCO JSON says another box, category or iscrowd than the row that it came from.",
    "What is trained on is not what upstream drew; nobody can tell any more which is right.",
    "move the JSON away, and run the same download, or convert, again: it is made anew from the rows",
    bad="The row has IsGroupOf 1, and its annotation `iscrowd` 0.",
    near="The box is off by a hundredth of a pixel, as another tool rounds it.",
)
ANNOTATIONS_UNLIKE_ROWS = Rule(
    "annotations-unlike-rows",
    Level.ERROR,
    Depth.HEADERS,
    "An image has another number of annotations in the COCO JSON than rows among the boxes.",
    "Objects were lost on the way, or came from elsewhere.",
    ANNOTATION_UNLIKE_ROW.fix,
    bad="boxes.csv has three rows of an image, the JSON two annotations.",
    near="boxes.csv has no row of an image, the JSON no annotation of it.",
)
BOXES_WITHOUT_JSON = Rule(
    "boxes-without-json",
    Level.ERROR,
    Depth.NAMES,
    "A split of Open Images has a table of boxes, and no COCO JSON made of it.",
    "What reads COCO finds nothing there: a download did not come to its end, or the file was lost.",
    "run the same download, or convert, again",
    bad="labels/validation/boxes.csv is there, annotations/instances_validation.json is not.",
    near="Of points alone no COCO JSON is made.",
)
CATEGORY_UNLIKE_LIST = Rule(
    "category-unlike-list",
    Level.ERROR,
    Depth.HEADERS,
    "A category of Open Images' COCO JSON has not the place and the name that the list of classes gives it.",
    "Numbers mean other classes than in every other selection: models and results cannot be compared.",
    ANNOTATION_UNLIKE_ROW.fix,
    bad="Category 2 is Dog, and the second class of the list is Cat.",
    near="With --only-matching categories are left out; those that stay keep their numbers.",
)
IMAGE_NOT_IN_JSON = Rule(
    "image-not-in-json",
    Level.ERROR,
    Depth.HEADERS,
    "An image is there and in the table of images, and the COCO JSON of its split does not have it.",
    "Nothing trains on it.",
    ANNOTATION_UNLIKE_ROW.fix,
    bad="images.csv and validation/ have an image that instances_validation.json does not name.",
    near="The JSON has an image without annotations: nothing was drawn in it.",
)
IMAGE_NOT_IN_ROWS = Rule(
    "image-not-in-rows",
    Level.ERROR,
    Depth.HEADERS,
    "The COCO JSON has an image that the table of images does not.",
    "Nothing tells its author and license, nor that it is of this split.",
    ANNOTATION_UNLIKE_ROW.fix,
    bad="instances_validation.json names an image of train.",
    near="Every image that it names has a row.",
)
IMAGE_PUT_ASIDE = Rule(
    "image-put-aside",
    Level.NOTE,
    Depth.NAMES,
    "An image has rows and is not there, and visprep fix took it out of the COCO JSON.",
    "The rows stay as upstream wrote them, so that the image can come back; who reads rows must pass it over.",
    "visprep fix PLACE --undo puts it back; then --how refetch fetches bad ones again",
    bad="instances_validation.cleaned.json stands for the JSON, and has not the image.",
    near="No cleaned JSON is there: then the image is missing.",
)
IMAGE_ROW_REPEATED = Rule(
    "image-row-repeated",
    Level.ERROR,
    Depth.NAMES,
    "The table of images has an image twice.",
    "It is counted, and trained on, twice; two rows may tell two licenses.",
    _AGAIN,
    bad="Lines 4 and 9 of images.csv have the same ImageID.",
    near="boxes.csv has many rows of an image: one for each box.",
)
MASK_BLANK = Rule(
    "mask-blank",
    Level.WARNING,
    Depth.DECODE,
    "A mask has no pixel that is of its object.",
    "Its annotation covers nothing: losses divide by its area, and evaluation leaves it out.",
    "leave its row out, or draw it again",
    bad="A PNG that is black all over.",
    near="A mask with one white pixel.",
)
MASK_DAMAGED = Rule(
    "mask-damaged",
    Level.ERROR,
    Depth.DECODE,
    "A mask is damaged, or no picture at all.",
    "Its annotation has no mask, or was made of what is left of it.",
    "move it away and run the same download, or convert, again",
    bad="The last half of a PNG is missing.",
    near="The PNG is of another kind than upstream's, gray or with a palette.",
)
MASK_LOST = Rule(
    "mask-lost",
    Level.ERROR,
    Depth.NAMES,
    "A row names a mask that is not there.",
    "Its box has no mask, or one that nobody can compare any more.",
    "run the same download, or convert, again",
    bad="masks.csv names 0_m01yrx_1a.png, and masks/validation/ does not hold it.",
    near="The split has no masks.csv, as without --labels masks.",
)
MASK_OUTSIDE_BOX = Rule(
    "mask-outside-box",
    Level.WARNING,
    Depth.DECODE,
    "A mask reaches further than the box that it was drawn in, by more than a fiftieth of its image and a pixel.",
    "It is the mask of another box, or of another picture.",
    "look at both; run the download, or convert, again",
    bad="The box is the left half of the image, and the mask the right.",
    near="The mask is smaller than its image, and rounded to its own pixels.",
)
MASK_SHAPE = Rule(
    "mask-shape",
    Level.WARNING,
    Depth.DECODE,
    "A mask has another ratio of width to height than its image.",
    "Brought to the size of the image it is stretched, and lies wrong; the image may be turned.",
    "look at both: one of them may be turned by 90 degrees",
    bad="The image has 1024 x 768 pixels, the mask 600 x 800.",
    near="The image has 1024 x 683 pixels, the mask 800 x 534.",
)
MASK_WITHOUT_BOX = Rule(
    "mask-without-box",
    Level.WARNING,
    Depth.HEADERS,
    "A row of masks belongs to no box: none of its image and class has its corners.",
    "The mask is in no annotation.",
    "take the tables of boxes and masks of the same version",
    bad="The BoxXMin of a mask is 0.25, and no box of its class begins there.",
    near="The corners differ in the sixth decimal: the tables are rounded otherwise.",
)
NUMBERS_UNLIKE_ROWS = Rule(
    "numbers-unlike-rows",
    Level.WARNING,
    Depth.HEADERS,
    "Images, or annotations, of the COCO JSON have other ids than their places among the rows of the split give them.",
    "Results and lists that were made with another copy of the same selection mean other images; two splits may share "
    "ids, and cannot be put together then.",
    ANNOTATION_UNLIKE_ROW.fix,
    bad="The first image of validation, by its ImageID, has the id 1, and not 10,000,001.",
    near="An image is missing: the ids leave out its own, and those of its annotations.",
)
ROW_CLASS = Rule(
    "row-class",
    Level.ERROR,
    Depth.HEADERS,
    "A row is of a class that the list of classes does not have.",
    "It has no name, and no category: it cannot be made COCO JSON of.",
    "take the list of the same version as the rows",
    bad="LabelName is /m/0zzzzz, which no line of the list has.",
    near="LabelName2 of a relationship `is` names an attribute, and no class.",
)
ROW_CONFIDENCE = Rule(
    "row-confidence",
    Level.ERROR,
    Depth.HEADERS,
    "The Confidence of a row is below 0 or above 1.",
    "Whoever sorts or filters by it gets it wrong.",
    _AGAIN,
    bad="Confidence is 7.",
    near="Confidence is 0: people looked, and the class is not there.",
)
ROW_COORDINATES = Rule(
    "row-coordinates",
    Level.ERROR,
    Depth.HEADERS,
    "The corners of a row lie outside of its image, beyond 0 to 1, or in the wrong order.",
    "The box is no box, or one of another picture; losses become NaN.",
    _AGAIN,
    bad="XMin is 0.7 and XMax 0.4; or XMax is 1.2.",
    near="XMin is 0 and XMax 1: the box goes all across.",
)
ROW_FLAG = Rule(
    "row-flag",
    Level.ERROR,
    Depth.HEADERS,
    "A flag of a row is neither 1, 0 nor -1.",
    "1 is yes, 0 no, and -1 that nobody looked: anything else is read as one of them at random.",
    _AGAIN,
    bad="IsOccluded is 2.",
    near="IsOccluded is -1.",
)
ROW_IMAGE = Rule(
    "row-image",
    Level.ERROR,
    Depth.HEADERS,
    "A row is of an image that the table of images of its split does not have.",
    "Nothing can be done with it: nobody knows its image, or where it belongs.",
    "take both tables of the same split; or take that line out",
    bad="labels/validation/boxes.csv has a box of an image that labels/validation/images.csv does not list.",
    near="images.csv lists an image that no other table has a row of.",
)
ROW_MALFORMED = Rule(
    "row-malformed",
    Level.ERROR,
    Depth.NAMES,
    "A row cannot be read: it has too few or too many fields, or one holds what its column cannot.",
    "Readers stop there, or shift what follows. The JSON of its split is not compared with the rows.",
    _AGAIN,
    bad="A row of boxes ends after LabelName; XMin is `left`; ImageID has 15 digits.",
    near="A Title holds a comma, or a line break, between quotes.",
)
ROW_SPLIT = Rule(
    "row-split",
    Level.ERROR,
    Depth.NAMES,
    "The Subset of an image is another split than that whose table it stands in.",
    "What was trained on is tested on.",
    "put the row, and the image, where they belong",
    bad="labels/validation/images.csv has an image whose Subset is train.",
    near="labels/validation/images.csv has images of validation.",
)
TABLE_MALFORMED = Rule(
    "table-malformed",
    Level.ERROR,
    Depth.NAMES,
    "A table has no header, lacks a column, or is no table at all.",
    "None of its rows can be read.",
    "run the download, or convert, again",
    bad="The first line of boxes.csv does not name XMin.",
    near="It names columns that nobody knows: these are passed over.",
)
TABLE_MISSING = Rule(
    "table-missing",
    Level.ERROR,
    Depth.NAMES,
    "A table is not there that is needed: of images, of the boxes of the JSON, of the masks, or the list of classes.",
    "Rows cannot be held against it: nobody knows which images and classes there should be.",
    "name the directory that holds labels/, or run the same download, or convert, again",
    bad="labels/validation/boxes.csv is there, labels/validation/images.csv is not.",
    near="labels/validation/points.csv is not there: nobody asked for points.",
)

#: What rows may be, and the JSON that is made of them.
RULES: tuple[Rule, ...] = (
    ANNOTATION_UNLIKE_ROW,
    ANNOTATIONS_UNLIKE_ROWS,
    BOXES_WITHOUT_JSON,
    CATEGORY_UNLIKE_LIST,
    IMAGE_NOT_IN_JSON,
    IMAGE_NOT_IN_ROWS,
    IMAGE_PUT_ASIDE,
    IMAGE_ROW_REPEATED,
    MASK_BLANK,
    MASK_DAMAGED,
    MASK_LOST,
    MASK_OUTSIDE_BOX,
    MASK_SHAPE,
    MASK_WITHOUT_BOX,
    NUMBERS_UNLIKE_ROWS,
    ROW_CLASS,
    ROW_CONFIDENCE,
    ROW_COORDINATES,
    ROW_FLAG,
    ROW_IMAGE,
    ROW_MALFORMED,
    ROW_SPLIT,
    TABLE_MALFORMED,
    TABLE_MISSING,
)
#: All that is looked for at a place of Open Images: its images and its JSON are held against the rules of COCO too.
ALL: tuple[Rule, ...] = tuple(sorted((*RULES, *coco_all.ALL), key=lambda rule: rule.code))
