"""How small an image may come, since the transform makes it smaller anyway: read off torchvision's own transforms."""

from __future__ import annotations

from typing import Any

#: Transforms of torchvision that change no size, and so may stand before the one that does.
_SIZELESS = frozenset({"ToTensor", "PILToTensor", "ToImage", "ToPILImage", "ToDtype", "ConvertImageDtype", "Identity"})


def least_size(transform: Any) -> tuple[int, int] | None:
    """The least width and height that `transform` can make its images of without enlarging them; None when unknown.

    Known are a `Resize` of torchvision, and a `Compose` that begins with one. With one number for a size, which is that
    of the shorter side, neither side may be below it.
    """
    name, module = type(transform).__name__, type(transform).__module__
    if not module.startswith("torchvision.transforms"):
        return None
    if name == "Compose":
        for step in transform.transforms:
            if type(step).__name__ not in _SIZELESS:
                return least_size(step)
        return None
    if name != "Resize" or getattr(transform, "max_size", None) is not None:
        return None
    size = transform.size
    sides = list(size) if isinstance(size, (list, tuple)) else [size]
    if len(sides) not in (1, 2) or not all(isinstance(side, int) and side > 0 for side in sides):
        return None
    height, width = sides[0], sides[-1]
    return width, height
