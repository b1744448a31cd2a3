"""COCO: the archives of 2014, 2015 and 2017, with what is recorded of each, and where they are to be had.

Sizes and SHA-256 are those of TensorFlow Datasets (tensorflow_datasets/url_checksums/coco.txt) unless told otherwise;
MD5 those of twsl/pytorchcocotools (src/pytorchcocotools/utils/coco/files.py), which PaddleDetection
(ppdet/utils/download.py) and others share for the archives that they know. No source gives both of one archive.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from visprep.formats.coco_counts import IMAGES
from visprep.sources import Archive, Labelling, Mirror, Selection, check_names

_TRAINVAL = ("instances", "captions", "person_keypoints")


def _zip(folder: str, name: str, size: int, sha256: str | None, md5: str) -> Archive:
    digests = {"sha256": sha256} if sha256 else {}
    return Archive(f"{folder}/{name}.zip", size, MappingProxyType({**digests, "md5": md5}))


#: Every archive by its name. Without a SHA-256 are those of which nobody published one; their sizes are what servers
#: told several people (unlabeled2017: four).
ARCHIVES: Mapping[str, Archive] = MappingProxyType(
    {
        archive.name: archive
        for archive in (
            _zip(
                "zips",
                "train2014",
                13510573713,
                "ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775",
                "0da8c0bd3d6becc4dcb32757491aca88",
            ),
            _zip(
                "zips",
                "val2014",
                6645013297,
                "fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0",
                "a3d79f5ed8d289b7a7554ce06a5782b3",
            ),
            _zip(
                "zips",
                "test2014",
                6660437059,
                "ead40c62230cb2cf70ff4c8b4c70abdc260a7556e77b3282621d06d8e2e35bdf",
                "04127eef689ceac55e3a572c2c92f264",
            ),
            _zip(
                "zips",
                "test2015",
                13270587935,
                "1a2aa896b81140a850a78fa8bff07d455698d2abf364ff05721763458a8101ca",
                "65562e58af7d695cc47356951578c041",
            ),
            _zip(
                "zips",
                "train2017",
                19336861798,
                "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
                "cced6f7f71b7629ddf16f17bbcfab6b2",
            ),
            _zip(
                "zips",
                "val2017",
                815585330,
                "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
                "442b8da7639aecaf257c1dceb8ba8c80",
            ),
            _zip(
                "zips",
                "test2017",
                6646970404,
                "c7908c3c9f94ba2f3340ebbeec58c25db6be8774f18d68c2f15d0e369d95baba",
                "77ad2c53ac5d0aea611d422c0938fb35",
            ),
            _zip("zips", "unlabeled2017", 20126613414, None, "7ebc562819fdb32847aab79530457326"),
            _zip(
                "annotations",
                "annotations_trainval2014",
                252872794,
                "031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009",
                "0a379cfc70b0e71301e0f377548639bd",
            ),
            _zip(
                "annotations",
                "annotations_trainval2017",
                252907541,
                "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
                "f4bbac642086de4f52a3fdda2de5fa2c",
            ),
            _zip(
                "annotations",
                "panoptic_annotations_trainval2017",
                860725834,
                "c05f76d2129b6b561eb70efe16e7006df62f73fb92889132d373b9d90e31a370",
                "4170db65fc022c9c296af880dbca6055",
            ),
            _zip("annotations", "stuff_annotations_trainval2017", 1148688564, None, "2a27c15a2dfcbd2e1c9276dc23cac101"),
            # One source each for the MD5 of the next two, and another is told of the second: SHA-256 decides
            _zip(
                "annotations",
                "image_info_test2014",
                763464,
                "7cecc66f6b09c1671c1896a1bcc1f35eb09b7fcf00a5c18420a5f0f5983dc8c9",
                "25304cbbafb2117fb801c0f7218fdbba",
            ),
            _zip(
                "annotations",
                "image_info_test2015",
                1887164,
                "cf400242f8497257fb8a3e369bc766491f4a7e42625fb3d72555504e9a8c3b18",
                "d9616c9742182f530e2e6d8c6ccd916a",
            ),
            _zip(
                "annotations",
                "image_info_test2017",
                1144034,
                "e52f412dd7195ac8f98d782b44c6dd30ea10241e9f42521f67610fbe055a74f8",
                "85da7065e5e600ebfee8af1edb634eb5",
            ),
            _zip("annotations", "image_info_unlabeled2017", 4902013, None, "ede38355d5c3e5251bb7f8b68e2c068f"),
        )
    }
)
#: The archive of each label of each split.
LABELS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        **{f"{part}2014": dict.fromkeys(_TRAINVAL, "annotations_trainval2014") for part in ("train", "val")},
        **{
            f"{part}2017": {
                **dict.fromkeys(_TRAINVAL, "annotations_trainval2017"),
                "panoptic": "panoptic_annotations_trainval2017",
                "stuff": "stuff_annotations_trainval2017",
            }
            for part in ("train", "val")
        },
        **{
            split: {"image_info": f"image_info_{split}"}
            for split in ("test2014", "test2015", "test2017", "unlabeled2017")
        },
    }
)
# The host has a dot more than its certificate covers, so by HTTPS it is the bucket's path-style address
# (mlcommons/inference, pull request 2572). The last is AWS Open Data's copy, flat, and without the single images.
MIRRORS = (
    Mirror("http://images.cocodataset.org"),
    Mirror("https://s3.amazonaws.com/images.cocodataset.org"),
    Mirror("https://fast-ai-coco.s3.amazonaws.com", flat=True, loose=False),
)


class Coco:
    """The source `coco`."""

    name = "coco"
    title = "COCO: common objects in context, with boxes, masks, keypoints and captions"
    license = "annotations CC-BY-4.0; images as each says (Flickr)"
    home = "https://cocodataset.org"
    splits = tuple(IMAGES)
    default_splits = ("val2017",)
    configs: tuple[str, ...] = ()
    counts = IMAGES
    mirrors = MIRRORS
    labels = (*_TRAINVAL, "panoptic", "stuff", "image_info")

    def archives(self, selection: Selection) -> tuple[Archive, ...]:
        """The annotations of a selection, then its images; each once, with what of it is wanted.

        UnknownName for a split, or for a label that none of the splits has.
        """
        wanted: dict[str, list[str]] = {}
        for one in self.labellings(selection):
            patterns = wanted.setdefault(one.archive.name, [])
            patterns += [one.document, *([f"{one.masks}/*"] if one.masks else [])]
            if one.label == "image_info":  # of test there are two, the second for the images of test-dev
                patterns.append(one.document.replace("_test", "_test-dev*"))
        annotations = (ARCHIVES[name].only(patterns) for name, patterns in wanted.items())
        splits = dict.fromkeys(selection.splits or self.default_splits)
        return (*annotations, *(ARCHIVES[split].only((f"{split}/*",)) for split in splits))

    def labellings(self, selection: Selection) -> tuple[Labelling, ...]:
        """See `Archived.labellings`; instances, captions and keypoints, or else image_info, when none are asked for."""
        check_names("split", selection.splits, self.splits, self.name)
        splits = tuple(dict.fromkeys(selection.splits or self.default_splits))
        known = tuple(dict.fromkeys(label for split in splits for label in LABELS[split]))
        check_names("label", selection.labels, known, f"{self.name} {', '.join(splits)}")
        return tuple(
            Labelling(
                label, split, ARCHIVES[archives[label]], f"annotations/{label}_{split}.json", _masks(label, split)
            )
            for split, archives in ((split, LABELS[split]) for split in splits)
            for label in dict.fromkeys(selection.labels or (*_TRAINVAL, "image_info"))
            if label in archives
        )

    def images(self, split: str) -> Archive:
        """See `Archived.images`."""
        return ARCHIVES[split]


def _masks(label: str, split: str) -> str | None:
    """The directory of the masks of a label, which are in a zip within the archive."""
    return {"panoptic": f"annotations/panoptic_{split}", "stuff": f"annotations/stuff_{split}_pixelmaps"}.get(label)
