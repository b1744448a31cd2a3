"""torchvision where it can be imported at all: for tests only, since no extra may bring it."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

_KEPT: list[Any] = []


def torchvision_or_skip() -> Any:
    """The module, or what of it Python alone can do; skips where it is not installed.

    A build for another torch has operators that cannot be loaded, and stops at import for want of their names.
    """
    torch = pytest.importorskip("torch")
    if not _KEPT:
        with contextlib.suppress(RuntimeError):  # they are there already
            library = torch.library.Library("torchvision", "DEF")
            for name in ("nms", "qnms"):
                library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _KEPT.append(library)
    return pytest.importorskip("torchvision")
