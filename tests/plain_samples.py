"""The plainest dataset there is, which worker processes can import: an image a sample, told by its number."""

from __future__ import annotations

from typing import Any

from PIL import Image

from loader_places import number_of
from visprep.loaders.dataset import ImageDataset
from visprep.loaders.fetch import ImageFile


class Plain(ImageDataset):
    """Sample n is (n, the number that image n tells, its size)."""

    def __init__(self, urls: tuple[str, ...], **shared: Any) -> None:
        super().__init__(**shared)
        self.urls = urls

    def __len__(self) -> int:
        return len(self.urls)

    def files_of(self, index: int) -> list[ImageFile]:
        return [ImageFile(self.urls[index])]

    def sample_of(self, index: int, images: list[Image.Image]) -> tuple[int, int, tuple[int, int]]:
        return index, number_of(images[0]), images[0].size


def as_list(samples: list[Any]) -> list[Any]:
    return samples
