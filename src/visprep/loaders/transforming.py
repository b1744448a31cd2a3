"""Transforms of several images that belong together: first all at once, then one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def transformed(
    images: Sequence[Any], joint: Callable[..., Any] | None, single: Callable[[Any], Any] | None
) -> tuple[Any, ...]:
    """What `joint`, called with all images, and then `single`, called with each, make of them.

    TypeError when `joint` does not give back as many.
    """
    if joint is not None:
        count, images = len(images), joint(*images)
        if count == 1 and not isinstance(images, (tuple, list)):
            images = (images,)  # torchvision's transforms give one for one
        if not isinstance(images, (tuple, list)) or len(images) != count:
            had = f"{len(images)}" if isinstance(images, (tuple, list)) else f"a {type(images).__name__}"
            raise TypeError(f"joint_transform was given {count} images and gave back {had}: it gives back as many")
    return tuple(images) if single is None else tuple(single(image) for image in images)
