"""Places of YOLO and of Pascal VOC, drawn for tests: small noise, each picture unlike all others."""

from __future__ import annotations

from pathlib import Path

from drawn import SIZE, picture, put

DATA = b"train: images/train\nval: images/val\nnames: [cat, dog]\n"
BOX = b"0 0.5 0.5 0.25 0.25\n"
XML = """<annotation>
\t<folder>VOC</folder>
\t<filename>{stem}.jpg</filename>
\t<source>
\t\t<database>drawn</database>
\t</source>
\t<size>
\t\t<width>{width}</width>
\t\t<height>{height}</height>
\t\t<depth>3</depth>
\t</size>
\t<segmented>0</segmented>
\t<object>
\t\t<name>dog</name>
\t\t<pose>Unspecified</pose>
\t\t<truncated>0</truncated>
\t\t<difficult>0</difficult>
\t\t<bndbox>
\t\t\t<xmin>2</xmin>
\t\t\t<ymin>3</ymin>
\t\t\t<xmax>20</xmax>
\t\t\t<ymax>12</ymax>
\t\t</bndbox>
\t</object>
</annotation>
"""


def jpeg(seed: int, size: tuple[int, int] = SIZE) -> bytes:
    return picture(seed, size, "JPEG")


def xml(stem: str, size: tuple[int, int] = SIZE) -> bytes:
    return XML.format(stem=stem, width=size[0], height=size[1]).encode()


def yolo(root: Path, data: bytes | None = DATA) -> Path:
    """Two images for training, and one for validation."""
    for seed, image in enumerate(("train/a", "train/b", "val/c")):
        put(root, f"images/{image}.jpg", jpeg(seed))
        put(root, f"labels/{image}.txt", BOX)
    if data is not None:
        put(root, "data.yaml", data)
    return root


def voc(root: Path) -> Path:
    """Two images for training, one for validation, and a mask of the first."""
    for seed, stem in enumerate("abc"):
        put(root, f"JPEGImages/{stem}.jpg", jpeg(seed))
        put(root, f"Annotations/{stem}.xml", xml(stem))
    put(root, "ImageSets/Main/train.txt", b"a\nb\n")
    put(root, "ImageSets/Main/val.txt", b"c\n")
    put(root, "ImageSets/Main/trainval.txt", b"a\nb\nc\n")
    put(root, "ImageSets/Main/dog_train.txt", b"a  1\nb -1\n")
    put(root, "ImageSets/Segmentation/train.txt", b"a\n")
    put(root, "SegmentationClass/a.png", picture(9))
    return root
