"""The records of images and boxes in COCO JSON made of Open Images, in the order in which their keys are written."""

from __future__ import annotations

import msgspec

__all__ = ["AnnotationRecord", "Box", "ImageRecord", "Shape"]


class ImageRecord(msgspec.Struct, gc=False):
    """An image; `file_name` is below the place, what upstream does not tell is left out."""

    id: int
    width: int
    height: int
    file_name: str
    open_images_id: str
    license: int | msgspec.UnsetType
    OriginalURL: str | msgspec.UnsetType
    Author: str | msgspec.UnsetType
    Rotation: float | msgspec.UnsetType | None


class Shape(msgspec.Struct, gc=False):
    """A mask: height and width of the image, and COCO's compressed runs."""

    size: list[int]
    counts: str


class Box(msgspec.Struct, array_like=True, gc=False):
    """A box in pixels. It is no list, since the collector of garbage would look at lists again and again."""

    x: float
    y: float
    width: float
    height: float


class AnnotationRecord(msgspec.Struct, gc=False):
    """A box of an image, with its mask where there is one; what upstream does not tell is left out."""

    id: int
    image_id: int
    category_id: int
    bbox: Box
    area: float
    iscrowd: int
    segmentation: Shape | msgspec.UnsetType
    IsOccluded: int | msgspec.UnsetType
    IsTruncated: int | msgspec.UnsetType
    IsGroupOf: int | msgspec.UnsetType
    IsDepiction: int | msgspec.UnsetType
    IsInside: int | msgspec.UnsetType
    Source: str | msgspec.UnsetType
    Confidence: float | msgspec.UnsetType
