"""The rules of a COCO dataset as a whole: annotation files against images, and splits against each other."""

from __future__ import annotations

from visprep.findings import Level
from visprep.rules import Depth, Rule

ANNOTATIONS_MISSING = Rule(
    "annotations-missing",
    Level.WARNING,
    Depth.HEADERS,
    "A file that is called as the annotations of a split are has no list `annotations`.",
    "Training on it learns nothing, and pycocotools finds nothing; most often another file was meant.",
    "fetch the annotations; or call the file image_info_..., as COCO calls such that have none",
    bad="instances_val2017.json has `images` and `categories`, and nothing else.",
    near="image_info_test2017.json has no `annotations`; or instances_val2017.json has an empty list of them.",
)
ANNOTATIONS_SET_ASIDE = Rule(
    "annotations-set-aside",
    Level.NOTE,
    Depth.NAMES,
    "An annotation file is not checked, since the one beside it, called .cleaned.json, stands for it.",
    "visprep fix wrote that one without bad images; whoever reads the old one meets them.",
    "read the cleaned one, or put it in the place of the old one; visprep fix PLACE --undo takes it back",
    bad="instances_val2017.cleaned.json lies beside instances_val2017.json.",
    near="instances_val2017.cleaned.json alone.",
)
COUNT_DOUBTFUL = Rule(
    "count-doubtful",
    Level.WARNING,
    Depth.NAMES,
    "A file has another number of records than is told of it, by sources that nobody confirmed.",
    "Either something is missing, or what is told is wrong.",
    "compare the file with its archive's checksum",
    bad="captions_val2017.json has 25,013 captions, and 25,014 are told of.",
    near="It has 25,014.",
)
COUNT_UNEXPECTED = Rule(
    "count-unexpected",
    Level.ERROR,
    Depth.NAMES,
    "A file, or a directory, has another number of records or images than it should.",
    "Results on a part of a dataset cannot be compared with those on all of it.",
    "download the split again; without --expect where only a part of it is meant to be there",
    bad="With --expect official, val2017 holds 4,999 images.",
    near="With --expect official, val2017 holds 5,000 images.",
)
IMAGE_ID_IN_TWO_SPLITS = Rule(
    "image-id-in-two-splits",
    Level.WARNING,
    Depth.NAMES,
    "Images of two splits that are different ones have the same id.",
    "Tools that join the splits take the one for the other.",
    "give the images of one split other ids, if they are ever to be joined",
    bad="Image 1 of instances_train.json is a.jpg, image 1 of instances_val.json is b.jpg.",
    near="train2014 and train2017 have the same image: they part the same images in two ways.",
)
IMAGE_IN_TWO_SPLITS = Rule(
    "image-in-two-splits",
    Level.ERROR,
    Depth.NAMES,
    "The same image is in two splits: it has the same bytes, or the same id and name where these were not compared.",
    "What was trained on is tested on, and the results are too good.",
    "take it out of one of the splits",
    bad="train2017/000000000009.jpg is val2017/000000000139.jpg, to the byte.",
    near="Two images of the same size in bytes that differ in one of them.",
)
IMAGE_MISSING = Rule(
    "image-missing",
    Level.ERROR,
    Depth.NAMES,
    "An annotation file names an image that is not there.",
    "Training stops there, or silently works on less.",
    "run the same download, or convert, again; in a directory visprep fix PLACE --how refetch fetches single images of "
    "COCO and Open Images, --how quarantine takes it out of the file",
    bad="instances_val2017.json names 000000000139.jpg, and val2017/ does not hold it.",
    near="The same image is named by two annotation files.",
)
IMAGE_NAME_IN_TWO_SPLITS = Rule(
    "image-name-in-two-splits",
    Level.NOTE,
    Depth.NAMES,
    "Images of two splits have the same file name and other ids.",
    "Copied into one directory, the one replaces the other.",
    "keep the splits in directories of their own, or rename the files",
    bad="train/0001.jpg has the id 1, and val/0001.jpg has the id 7.",
    near="train/a/0001.jpg and val/b/0001.jpg, where the names include a/ and b/.",
)
IMAGE_SIZE_MISMATCH = Rule(
    "image-size-mismatch",
    Level.ERROR,
    Depth.HEADERS,
    "An image has another width or height than its annotation file says.",
    "Boxes and masks were drawn on another picture, or on one of another size: they lie wrong.",
    "find out which is right: the file, or the annotations",
    bad="The file has 640 x 480 pixels, the annotations say 640 x 481.",
    near="The file has 640 x 480 pixels, and so do the annotations.",
)
IMAGE_SIZE_ROTATED = Rule(
    "image-size-rotated",
    Level.ERROR,
    Depth.HEADERS,
    "An annotation file says the width and height that an image has once its EXIF turned it.",
    "Boxes fit only for readers that heed EXIF; OpenCV does, Pillow, torchvision and simplejpeg do not.",
    "turn the file: visprep.convert_to_pil_image(path).save(path)",
    bad="The file has 640 x 480 pixels and the EXIF orientation 6; the annotations say 480 x 640.",
    near="The same file, and the annotations say 640 x 480: then its rotation is a finding of its own.",
)
IMAGE_UNLISTED = Rule(
    "image-unlisted",
    Level.WARNING,
    Depth.NAMES,
    "An image, or a mask, lies among those of an annotation file, and no annotation file names it.",
    "Nothing is known of it, and nothing trains on it; or its record was lost.",
    "take it away, or bring its record back",
    bad="val2017/ holds extra.jpg, which instances_val2017.json does not name.",
    near="An image without annotations is named in `images`.",
)
IMAGES_ABSENT = Rule(
    "images-absent",
    Level.NOTE,
    Depth.NAMES,
    "Of the images that an annotation file names, none is here.",
    "Its references cannot be checked.",
    "download the images of that split, if they are wanted here",
    bad="The archive of annotations has train2017 too, and only val2017's images were downloaded.",
    near="One of its images is here: then the others are missing.",
)
LOADER_FILE_NAME = Rule(
    "loader-file-name",
    Level.ERROR,
    Depth.NAMES,
    "A file is for a loader that fetches from S3, and images in it are not named s3://bucket/key.",
    "CocoS3Dataset refuses such images, or passes over them.",
    "name the images by their place on S3: s3://bucket/key",
    bad="With --for loader, the file name is 000000000139.jpg.",
    near="The file name is s3://my-bucket/val2017/000000000139.jpg.",
)
MASK_MISSING = Rule(
    "mask-missing",
    Level.ERROR,
    Depth.NAMES,
    "A panoptic annotation names a mask that is not there.",
    "Training on it stops there.",
    "download the panoptic annotations again: their masks lie in a zip within the archive",
    bad="panoptic_val2017.json names 000000000139.png, and annotations/panoptic_val2017/ does not hold it.",
    near="None of its masks is here: then that is told once.",
)
MASK_SEGMENTS = Rule(
    "mask-segments",
    Level.ERROR,
    Depth.DECODE,
    "A panoptic mask does not show just the segments that its record tells of.",
    "Segments get lost, or pixels belong to nothing: panoptic quality is not what it seems.",
    "download the panoptic annotations again; a mask must be an RGB PNG, and never resampled or saved as a JPEG",
    bad="A pixel of the color 7, 0, 0, and no segment with the id 7.",
    near="Black pixels: they belong to no segment.",
)
NO_ANNOTATIONS = Rule(
    "no-annotations",
    Level.ERROR,
    Depth.NAMES,
    "The place is to be a COCO dataset, and holds no annotation file.",
    "An empty dataset passes every other check.",
    "name the directory that holds annotations/, or download again",
    bad="A directory with nothing in it but val2017/.",
    near="One annotation file, whose images are elsewhere.",
)

RULES: tuple[Rule, ...] = (
    ANNOTATIONS_MISSING,
    ANNOTATIONS_SET_ASIDE,
    COUNT_DOUBTFUL,
    COUNT_UNEXPECTED,
    IMAGE_ID_IN_TWO_SPLITS,
    IMAGE_IN_TWO_SPLITS,
    IMAGE_MISSING,
    IMAGE_NAME_IN_TWO_SPLITS,
    IMAGE_SIZE_MISMATCH,
    IMAGE_SIZE_ROTATED,
    IMAGE_UNLISTED,
    IMAGES_ABSENT,
    LOADER_FILE_NAME,
    MASK_MISSING,
    MASK_SEGMENTS,
    NO_ANNOTATIONS,
)
