"""What detection trainers take for a target, made of the annotations of an image."""

from __future__ import annotations

import importlib
from typing import Any, Literal

import numpy as np
import torch

from visprep.errors import UsageError, WrongContent
from visprep.formats.coco_pixels import pixels

__all__ = ["TARGET_FORMATS", "TargetFormat", "target_of", "tv_tensors"]

TargetFormat = Literal["torchvision", "tv_tensors"]
TARGET_FORMATS = ("torchvision", "tv_tensors")


def tv_tensors() -> Any:
    """The module of torchvision that is called so; UsageError, with what to install, where it does not import."""
    try:
        return importlib.import_module("torchvision.tv_tensors")
    except (ImportError, RuntimeError):  # built for another torch, it fails with the latter
        raise UsageError(
            "target_format='tv_tensors' needs torchvision, which does not import here",
            hint="install the torchvision that was built for your torch, or take target_format='torchvision'",
        ) from None


def target_of(
    info: dict[str, Any],
    annotations: list[dict[str, Any]],
    size: tuple[int, int],
    format: TargetFormat,
    *,
    masks: bool = True,
) -> dict[str, Any]:
    """The target of an image of `size` (width, height) pixels, as torchvision's reference for detection makes it.

    `boxes` are corners (N x 4, float32), kept within the image; `labels` category ids (int64); `masks` (N x height x
    width, uint8) when all annotations have a segmentation; `keypoints` (N x K x 3, float32) when all of them have some;
    `area` (float32), `iscrowd` (int64), and `image_id`, a number. Crowds and boxes without any area are left out, as
    there. With `tv_tensors` boxes and masks are those of torchvision, so that its transforms move them.

    WrongContent when an annotation has no box or no category, a segmentation cannot be drawn, or the record tells
    another size than the image has.
    """
    if format not in TARGET_FORMATS:
        raise UsageError(f"target_format={format!r}", hint=f"it is one of: {', '.join(TARGET_FORMATS)}")
    width, height = size
    told = info.get("width"), info.get("height")
    if None not in told and told != size:
        words = f"the image has {width} x {height} pixels, its record says {told[0]} x {told[1]}"
        raise WrongContent(f"image {info.get('id')}: {words}", hint="visprep verify says how many are so")
    all_of_it = [(one, _corners(one, size)) for one in annotations if not one.get("iscrowd")]
    kept = [(one, box) for one, box in all_of_it if box[2] > box[0] and box[3] > box[1]]
    rows = [one for one, _ in kept]
    target: dict[str, Any] = {
        "boxes": torch.tensor([box for _, box in kept], dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor([_label(one) for one in rows], dtype=torch.int64),
        "image_id": info.get("id"),
        "area": torch.tensor([_area(one, box) for one, box in kept], dtype=torch.float32),
        "iscrowd": torch.zeros(len(rows), dtype=torch.int64),
    }
    if masks and all("segmentation" in one for one, _ in all_of_it):
        target["masks"] = torch.from_numpy(_masks(rows, width, height))
    if all_of_it and all("keypoints" in one for one, _ in all_of_it):
        target["keypoints"] = _keypoints(rows)
    if format == "tv_tensors":
        module = tv_tensors()
        target["boxes"] = module.BoundingBoxes(target["boxes"], format="XYXY", canvas_size=(height, width))
        if "masks" in target:
            target["masks"] = module.Mask(target["masks"])
    return target


def _corners(annotation: dict[str, Any], size: tuple[int, int]) -> tuple[float, float, float, float]:
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(one, int | float) for one in box):
        raise _wrong(annotation, f"has no box of four numbers, but {box!r}")
    x, y, width, height = map(float, box)
    return _within(x, size[0]), _within(y, size[1]), _within(x + width, size[0]), _within(y + height, size[1])


def _within(value: float, most: int) -> float:
    return min(max(value, 0.0), float(most))


def _label(annotation: dict[str, Any]) -> int:
    label = annotation.get("category_id")
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if not isinstance(label, int) or isinstance(label, bool) or not -(2**63) <= label < 2**63:
        raise _wrong(annotation, f"has no category_id that is a whole number, but {label!r}")
    return label


def _area(annotation: dict[str, Any], box: tuple[float, float, float, float]) -> float:
    """What the annotation says, else that of its box."""
    area = annotation.get("area")
    return float(area) if isinstance(area, int | float) else (box[2] - box[0]) * (box[3] - box[1])


def _masks(annotations: list[dict[str, Any]], width: int, height: int) -> Any:
    drawn = np.zeros((len(annotations), height, width), np.uint8)
    for number, annotation in enumerate(annotations):
        try:
            drawn[number] = pixels(annotation["segmentation"], height, width)
        except ValueError as problem:
            raise _wrong(annotation, f"cannot be drawn: {problem}") from None
    return drawn


def _keypoints(annotations: list[dict[str, Any]]) -> torch.Tensor:
    try:
        found = torch.tensor([one["keypoints"] for one in annotations], dtype=torch.float32)
        return found.reshape(len(annotations), -1, 3) if annotations else found.reshape(0, 0, 3)
    except (ValueError, TypeError, RuntimeError):
        raise _wrong(annotations[0], "or one beside it has other keypoints than three numbers for each joint") from None


def _wrong(annotation: dict[str, Any], words: str) -> WrongContent:
    return WrongContent(f"annotation {annotation.get('id')} {words}", hint="visprep verify says how many are so")
