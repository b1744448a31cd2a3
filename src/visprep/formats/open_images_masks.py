"""Open Images' masks: which box each belongs to, and its pixels as COCO writes them.

A mask is a picture of two colors, PNG, that may be smaller than its image; it covers all of the image. Upstream's table
tells the box that it was drawn in by its corners, rounded otherwise than in the table of boxes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from visprep.errors import StoreError, VisprepError, WrongContent
from visprep.formats.coco_runs import compressed
from visprep.formats.open_images_blocks import CsvFile
from visprep.formats.open_images_csv import ImageIds, Wanted, read
from visprep.formats.open_images_tables import MASKS

__all__ = ["Masks", "column_runs", "in_size"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.bool_]
Load: TypeAlias = "Callable[[Iterable[str]], Iterator[tuple[str, bytes | VisprepError]]]"

#: How far the corners of a mask's box may be from those of its row among the boxes, in parts of the image.
_NEAR = 1e-5
#: Threads that decode masks, which mostly does not hold up the others.
_THREADS = 2
#: Masks that are loaded before any of them is waited for.
_LOADED = 512
_CORNERS = ("BoxXMin", "BoxXMax", "BoxYMin", "BoxYMax")


@dataclass(frozen=True)
class Masks:
    """The masks of a split, in the order of their images: where the picture of each is, and the box it belongs to.

    `load` gives the bytes of pictures by `MaskPath`, with that name, in the order in which they come; or the error
    about one, a StoreError where the others are to be gone on with.
    """

    images: ImageIds
    categories: Ints
    boxes: Floats
    paths: list[str]
    load: Load

    @classmethod
    def read(cls, file: CsvFile, numbers: Mapping[str, int], load: Load, images: ImageIds | None = None) -> Masks:
        """Of a table of masks, those of the classes that have a number, or only those of some images (sorted)."""
        columns = {*MASKS.columns, *_CORNERS}
        if any(name not in file.columns for name in _CORNERS):
            raise WrongContent(
                f"{file.name}, line 1: the header does not name the corners of the boxes",
                hint=f"take the table as Open Images has it, with {', '.join(_CORNERS)}",
            )
        found: list[ImageIds] = [np.zeros(0, np.uint64)]
        categories: list[int] = []
        corners: list[Floats] = [np.zeros((0, 4))]
        paths: list[str] = []
        for batch in read(file, MASKS, Wanted(images=images, classes=numbers), columns):
            found.append(batch.images)
            categories += [numbers[mid] for mid in batch.texts("LabelName")]
            corners.append(np.column_stack([batch.numbers(name) for name in _CORNERS]))
            paths += batch.texts("MaskPath")
        every = np.concatenate(found)
        order = np.argsort(every, kind="stable")
        return cls(
            every[order],
            np.array(categories, np.int64)[order],
            np.concatenate(corners)[order],
            [paths[at] for at in order.tolist()],
            load,
        )

    def __len__(self) -> int:
        return len(self.images)

    def pairs(self, images: ImageIds, categories: Ints, boxes: Floats, taken: Pixels) -> Iterator[tuple[int, int]]:
        """Which of these rows of boxes have a mask, and which one; what is found is noted in `taken`."""
        first = np.searchsorted(self.images, images, "left")
        counts = np.searchsorted(self.images, images, "right") - first
        rows = np.repeat(np.arange(len(images)), counts)
        masks = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
        same = self.categories[masks] == categories[rows]
        same &= (np.abs(self.boxes[masks] - boxes[rows]) < _NEAR).all(1)
        done = -1
        for row, mask in zip(rows[same].tolist(), masks[same].tolist(), strict=True):
            if row != done and not taken[mask]:
                done, taken[mask] = row, True
                yield row, mask

    def all_runs(self, masks: Sequence[tuple[int, tuple[int, int]]]) -> Iterator[tuple[str, int] | StoreError]:
        """What `runs` gives of each of these masks and sizes, in their order, or the error.

        Many are loaded at once, and decoded in threads as they come.
        """
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="visprep-masks") as pool:
            for begin in range(0, len(masks), _LOADED):
                yield from self._some_runs(masks[begin : begin + _LOADED], pool)

    def _some_runs(
        self, masks: Sequence[tuple[int, tuple[int, int]]], pool: ThreadPoolExecutor
    ) -> Iterator[tuple[str, int] | StoreError]:
        wanted: defaultdict[str, list[int]] = defaultdict(list)
        for at, (mask, _) in enumerate(masks):
            wanted[self.paths[mask]].append(at)
        found: dict[int, Future[tuple[str, int]] | StoreError] = {}
        for name, data in self.load(wanted):
            for at in wanted[name]:
                if isinstance(data, bytes):
                    found[at] = pool.submit(self.runs, data, *masks[at])
                elif isinstance(data, StoreError):
                    found[at] = data
                else:
                    raise data
        for at in range(len(masks)):
            yield _ended(found.pop(at))

    def runs(self, data: bytes, mask: int, size: tuple[int, int]) -> tuple[str, int]:
        """A mask as COCO's compressed RLE for an image of `size` (width, height), and its pixels.

        WrongContent when the picture does not decode.
        """
        pixels, place = in_size(data, self.paths[mask], size)
        return compressed(column_runs(pixels, place, size)), int(np.count_nonzero(pixels))


def _ended(found: Future[tuple[str, int]] | StoreError) -> tuple[str, int] | StoreError:
    if isinstance(found, StoreError):
        return found
    try:
        return found.result()
    except StoreError as problem:
        return problem


def in_size(data: bytes, name: str, size: tuple[int, int]) -> tuple[Pixels, tuple[int, int]]:
    """The pixels of a mask, brought to the size of its image (width, height) where it has another.

    They are cut out around what the mask covers, height x width; with them x and y of where that begins in the image.
    Each pixel is that of the mask which lies below its middle, so a mask stays one of two colors. WrongContent when
    the picture does not decode.
    """
    from visprep.images import decode

    try:
        picture = decode(data)
    except WrongContent as problem:
        raise WrongContent(f"{name}: {problem.message}") from None
    if picture.mode not in ("1", "L"):
        picture = picture.convert("L")
    box = picture.getbbox() or (0, 0, 0, 0)
    pixels: Pixels = np.asarray(picture.crop(box)) > 0
    if picture.size == size:
        return pixels, (box[0], box[1])
    across, x = _below(size[0], picture.width, box[0], box[2])
    down, y = _below(size[1], picture.height, box[1], box[3])
    return pixels[down][:, across], (x, y)


def _below(length: int, stored: int, begin: int, end: int) -> tuple[Ints, int]:
    """Which stored pixels, counted from `begin`, lie below those of an image whose own are before `end`; the first."""
    below = (np.arange(length) * 2 + 1) * stored // (2 * length)
    first, last = np.searchsorted(below, (begin, end))
    return below[first:last] - begin, int(first)


def column_runs(pixels: Pixels, place: tuple[int, int], size: tuple[int, int]) -> Ints:
    """The lengths of the runs of a mask, column by column from the left; the first is of pixels outside of it.

    `pixels` lie at `place` (x, y) in an image of `size` (width, height), outside of them there is none.
    """
    (height, width), (left, top), (whole_width, whole_height) = pixels.shape, place, size
    # Where columns are not as high as the image, one pixel below each stands for all that are outside
    step = height + (height < whole_height)
    line = np.zeros((width, step), np.bool_)
    line[:, :height] = pixels.T
    inside = np.concatenate([[False], line.ravel(), [False]])
    column, row = np.divmod(np.flatnonzero(inside[1:] != inside[:-1]), max(step, 1))
    edges = (left + column) * whole_height + top + row
    total = whole_width * whole_height
    return np.diff(np.concatenate([[0], edges[edges < total], [total]]))
