"""Batches of what there is: None left out, tensors stacked, nothing padded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from visprep import errors  # noqa: E402 -- torch first, or nothing
from visprep.loaders.collating import collate_detection, collate_samples, collate_tensors  # noqa: E402


def image(number: int, height: int = 2, width: int = 3) -> Any:
    return torch.full((3, height, width), float(number))


def test_samples_stay_as_they_are() -> None:
    samples = (("a", 1), None, ("b", 2))
    assert collate_samples(samples) == [("a", 1), None, ("b", 2)]


def test_detection_gives_two_lists() -> None:
    images, targets = collate_detection([(image(1), {"n": 1}), None, (image(2, 5, 4), {"n": 2})])
    assert [tuple(one.shape) for one in images] == [(3, 2, 3), (3, 5, 4)]
    assert targets == [{"n": 1}, {"n": 2}]
    assert collate_detection([None, None]) == ([], [])


def test_tensors_are_stacked_and_all_else_is_a_list() -> None:
    images, targets = collate_tensors([(image(1), {"n": 1}), None, (image(2), {"m": [2]})])
    assert images.shape == (2, 3, 2, 3)
    assert images[:, 0, 0, 0].tolist() == [1, 2]
    assert targets == [{"n": 1}, {"m": [2]}]
    batch = collate_tensors([{"initial_image": image(1), "stem": "001"}, {"initial_image": image(2), "stem": "002"}])
    assert batch["initial_image"].shape == (2, 3, 2, 3)
    assert batch["stem"] == ["001", "002"]
    assert collate_tensors([image(1), image(2), image(3)]).shape == (3, 3, 2, 3)
    assert collate_tensors([(np.zeros((4, 4), np.uint8), 1)] * 2)[0].shape == (2, 4, 4)
    assert collate_tensors([None]) is None


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ([(image(1), 1), (image(2, 4, 4), 2)], r"sample\[0\] .* 3x2x3 float32, 3x4x4 float32"),
        ([(image(1), 1), (image(2).byte(), 2)], "float32, 3x2x3 uint8"),
        ([{"cloth": image(1)}, {"cloth": image(2, 9)}], r"sample\['cloth'\]"),
        ([(Image.new("RGB", (4, 4)), 1)], r"sample\[0\] is an image"),
        ([(image(1), 1), (Image.new("RGB", (4, 4)), 1)], r"sample\[0\] is an image"),
    ],
)
def test_what_cannot_be_stacked_is_told(samples: list[Any], words: str) -> None:
    with pytest.raises(errors.UsageError, match=words) as raised:
        collate_tensors(samples)
    assert raised.value.hint
