"""Open Images, V7: which tables, masks and archives there are, and where; the images lie one by one in a bucket.

Which table is the one of a split is told by the official page of V7, which goes on using files of V4, V5 and V6
(https://storage.googleapis.com/openimages/web/download_v7.html); counts are those of the pages of each version.
`v6/oidv6-validation-annotations-bbox.csv`, which some scripts name, is not on the official page. Of no table is a
checksum published, but of those of V4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from visprep.formats.open_images_tables import KINDS, SPLITS, Kind
from visprep.sources import Archive, Selection, check_names

__all__ = ["BOXES", "IMAGES", "MASKS", "OpenImages", "Table"]


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file upstream: its split and kind, its path below the address of the tables, and where we keep its rows."""

    split: str
    kind: Kind
    path: str

    @property
    def kept(self) -> str:
        """Where the rows that were asked for are kept, in a place of ours."""
        return f"labels/{self.split}/{self.kind.name}.csv"


def _every(path: str, **others: str) -> Mapping[str, str]:
    """A path for each split, but for those that have another."""
    return MappingProxyType({split: others.get(split, path.format(split=split)) for split in SPLITS})


#: The table of each kind, by split.
_TABLES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        # Of train those that have boxes; all nine million are in 2018_04/image_ids_and_rotation.csv
        "images": _every(
            "2018_04/{split}/{split}-images-with-rotation.csv",
            train="2018_04/train/train-images-boxable-with-rotation.csv",
        ),
        "boxes": _every("v5/{split}-annotations-bbox.csv", train="v6/oidv6-train-annotations-bbox.csv"),
        "masks": _every("v5/{split}-annotations-object-segmentation.csv"),
        "relationships": _every("v6/oidv6-{split}-annotations-vrd.csv"),
        "image-labels": _every(
            "v5/{split}-annotations-human-imagelabels.csv", train="v6/oidv6-train-annotations-human-imagelabels.csv"
        ),
        "points": _every(  # `val` here, `validation` everywhere else
            "v7/oidv7-{split}-annotations-point-labels.csv", validation="v7/oidv7-val-annotations-point-labels.csv"
        ),
    }
)
#: Images of each split that have a table of their own: the page of V7; of train these are those that have boxes.
IMAGES: Mapping[str, int] = MappingProxyType({"train": 1743042, "validation": 41620, "test": 125436})
#: Rows of boxes, from V5 on: the page of V7.
BOXES: Mapping[str, int] = MappingProxyType({"train": 14610229, "validation": 303980, "test": 937327})
#: Rows of masks: the page of V7.
MASKS: Mapping[str, int] = MappingProxyType({"train": 2686666, "validation": 24730, "test": 74102})
#: The archives of the images, a folder of JPEGs as tar.gz: bytes and SHA-256 as TensorFlow Datasets has them
#: (tensorflow_datasets/url_checksums/open_images_v4.txt). Train's are cut by the first digit of the images' ids.
_ARCHIVES = (
    ("train_0", 49310925536, "0cf97b0666d4c11e0ba8c2380816f2bf09c9f7750abebd658bd9204d0aa10397"),
    ("train_1", 36916994080, "4c7d751e9f7d2f6774b70a903b7abc084adde2019cb030144ab2cb0c251a06bc"),
    ("train_2", 35415986940, "a83f0b60f4390680c01c00e199b546ec0333e76513f35b3cadb5024f29ee266e"),
    ("train_3", 34107458830, "f139398421624535bf79199dc82e32f48f062e2db43410487b2e7d768a1aea88"),
    ("train_4", 33169188573, "ff2053e039c0cbd890a85f68ce71f3c97b48895c96b1f20c090bc8ca5221939e"),
    ("train_5", 33458664112, "09e32c82c51c89b56782678cfbb61c0debc9d81a62cd03bdbb50cbe3a0a65fcd"),
    ("train_6", 33831108937, "6f16913f9eed07e8bb5115fc9bb56cf64831e7c73194ff9005be93a57366d181"),
    ("train_7", 33529833990, "669d15ba911ba40f3af28eb3dbfe2f293813bcdc9a7a08666eb4e8832b3bfaf9"),
    ("train_8", 33276342821, "784b8305c226b89c506fc4f95e7bd41ff7c40f6e46c9a2af22d2d95a78429923"),
    ("train_9", 32822929881, "65fcac6b7ca8d8ce464ed1a7e75cee70a801be27cf80ded719e3b7e801fc1bbb"),
    ("train_a", 32991790568, "74e5787afbf7a4d57346420eed055f1d4763b74b411d8040dc54bfe1165cf7ee"),
    ("train_b", 33652756676, "a3538e9233ad013f1907354b7e67b991b765569b18139e7526f5fcb23b1b5a4f"),
    ("train_c", 33386910071, "13e439d0f09251e3c1e559aa36b7058220273083e1186de08ce882919d12b5b2"),
    ("train_d", 33324632268, "8cc4cbb08d3d2ada32d1ff17adfc2d79b5c3145198c97ddaf058e0749f57f41b"),
    ("train_e", 30300455002, "4916d467d0d8c741de70a1de25985543a19b3fa72547771c7b69474176ffec56"),
    ("train_f", 29979648524, "172ef8c26dad6330151d820e342396fdd7d84956713956d5ad1bae74adb7f33a"),
    ("validation", 12844530798, "515fefdf310e17e204cfe84bb3d05e53d8a6b5465ef3b9a3164383082b506df3"),
    ("test", 38750827781, "346814b1820eae6543f862cf1d8f48c16ee81202eceb79ed4d484a1520e96695"),
)
#: Kinds of labels whose classes are those that have boxes; the others have all twenty thousand.
_BOXABLE = frozenset({"boxes", "masks", "relationships"})


class OpenImages:
    """The source `open-images`."""

    name = "open-images"
    title = "Open Images V7: nine million photographs, with boxes, masks, relationships, labels and points"
    license = "annotations CC-BY-4.0 (Google LLC); images listed as CC-BY-2.0, each as its author says"
    home = "https://storage.googleapis.com/openimages/web/index.html"
    splits = SPLITS
    default_splits = ("validation",)
    configs: tuple[str, ...] = ()
    counts = IMAGES
    labels = ("boxes", "masks", "relationships", "image-labels", "points")
    default_labels = ("boxes",)
    #: Below this address lie the tables and the masks.
    tables_url = "https://storage.googleapis.com/openimages"
    #: The bucket of the images, `{split}/{id}.jpg`, readable by everyone, and its face on the web.
    bucket = "open-images-dataset"
    images_url = "https://open-images-dataset.s3.amazonaws.com"
    #: The kinds of which a kind is, for everyone.
    hierarchy = "2018_04/bbox_labels_600_hierarchy.json"
    #: What Flickr redirects to where an original is gone, with status 200.
    placeholder = "photo_unavailable"

    def tables(self, selection: Selection) -> tuple[Table, ...]:
        """The tables of a selection: of each split that of its images, then those of its labels.

        Masks come with the boxes that they belong to. UnknownName for a split or a label that there is not.
        """
        check_names("split", selection.splits, self.splits, self.name)
        check_names("label", selection.labels, self.labels, self.name)
        asked = selection.labels or self.default_labels
        kinds = ("images", *dict.fromkeys((*(("boxes",) if "masks" in asked else ()), *asked)))
        splits = dict.fromkeys(selection.splits or self.default_splits)
        return tuple(self.table(kind, split) for split in splits for kind in kinds)

    def table(self, kind: str, split: str) -> Table:
        """The table of one kind of one split."""
        return Table(split, KINDS[kind], _TABLES[kind][split])

    def class_list(self, labels: Iterable[str] = ()) -> str:
        """The path of the list of the classes of these kinds of labels: that of those with boxes, or of all."""
        boxable = set(labels or self.default_labels) <= _BOXABLE
        return f"v7/oidv7-class-descriptions{'-boxable' if boxable else ''}.csv"

    def mask_archives(self, split: str, masks: Iterable[str]) -> tuple[Archive, ...]:
        """The zips that hold these masks (`MaskPath`) of a split: one for each digit that ids of images begin with."""
        by_digit: dict[str, list[str]] = {}
        for mask in masks:
            by_digit.setdefault(mask[:1], []).append(mask)
        return tuple(
            Archive(f"v5/{split}-masks/{split}-masks-{digit}.zip", paths=frozenset(paths), folder=f"masks/{split}")
            for digit, paths in sorted(by_digit.items())
        )

    def image_archives(self, split: str) -> tuple[Archive, ...]:
        """The tar.gz archives of all images of a split, in the bucket."""
        return tuple(
            Archive(f"tar/{name}.tar.gz", size, MappingProxyType({"sha256": sha256}))
            for name, size, sha256 in _ARCHIVES
            if name.partition("_")[0] == split
        )
