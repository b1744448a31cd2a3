"""Open Images' rows as COCO JSON: the same rows and sizes give the same bytes, in little memory.

Images are numbered in the order of their ids, annotations in the order of their images and then of the rows, from
where their split begins (`first`), and categories from 1 in the order of the list of classes. So the numbers are those
of one selection, those of two splits can stand together, and what is not there leaves a gap; the ids that upstream gave
stand beside them. Nothing is turned: boxes are those of the stored pixels, and an image's Rotation is told in its
record, and counted.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from visprep.errors import StoreError, WrongContent
from visprep.formats.open_images_blocks import BLOCK, CsvFile
from visprep.formats.open_images_classes import Classes, Hierarchy
from visprep.formats.open_images_csv import Batch, ImageIds, Wanted, image_name, image_number, read
from visprep.formats.open_images_facts import TOLD, ImageFacts
from visprep.formats.open_images_ids import places_in
from visprep.formats.open_images_masks import Masks
from visprep.formats.open_images_records import AnnotationRecord, Box, ImageRecord, Shape
from visprep.formats.open_images_tables import BOXES, FLAGS, first

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Conversion", "Converted", "Drafting", "Sizes", "in_pixels"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Rows: TypeAlias = "tuple[pyarrow.RecordBatch, ImageIds]"

#: Decimals of a coordinate that are reckoned with as a whole number, so that no rounding shows: upstream has up to 9.
_DECIMALS = 1e10
#: Rows, or images, that are encoded at once.
_TOGETHER = 20_000


@dataclass(frozen=True, slots=True)
class Sizes:
    """Width and height of images in pixels, in the order of their ids."""

    ids: ImageIds
    widths: Ints
    heights: Ints

    @classmethod
    def of(cls, sizes: Mapping[str, tuple[int, int]]) -> Sizes:
        """From (width, height) by id."""
        ids = np.fromiter(map(image_number, sizes), np.uint64, len(sizes))
        both = np.array(list(sizes.values()), np.int64).reshape(-1, 2)
        order = np.argsort(ids)
        return cls(ids[order], both[order, 0], both[order, 1])


@dataclass(slots=True)
class Converted:
    """What came of a conversion.

    `unsized` counts rows of images whose size is not known, which are left out; `rotated` images that their authors
    meant to be seen turned. `masks` were written, `unused` belong to no box, and `broken` names some of those that
    could not be read, with the reason; their boxes are there without them.
    """

    images: int = 0
    annotations: int = 0
    categories: int = 0
    masks: int = 0
    unused: int = 0
    unsized: int = 0
    rotated: int = 0
    broken: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Conversion:
    """One split as COCO JSON: its table of boxes, the sizes of its images, and what else is known of them.

    Every image of `sizes` is written, or without `every` those that have a box. `wanted` are MIDs, and None means all
    classes. `block` bytes of the table are read at once. A table that is not in the order of its images is read once
    for each so many images as `gathered` says. The numbers of images and annotations go over the images `numbered`
    (sorted), of which some have no size, where these are given: they stay when an image comes later.
    """

    split: str
    boxes: CsvFile
    sizes: Sizes
    classes: Classes
    hierarchy: Hierarchy = field(default_factory=Hierarchy)
    facts: ImageFacts | None = None
    masks: Masks | None = None
    wanted: Collection[str] | None = None
    every: bool = True
    block: int = BLOCK
    gathered: int = 200_000
    numbered: ImageIds | None = None

    def write(self, path: Path) -> Converted:
        """Write the JSON to a file, which is made or replaced.

        WrongContent, with the number of the line, for a row that cannot be read, and for a class without a name;
        MissingExtra without pyarrow.
        """
        done = Converted()
        with path.open("wb", buffering=1 << 20) as out, contextlib.ExitStack() as stack:
            rows = None
            places: Ints = np.arange(len(self.sizes.ids))
            if not self.every:  # which images there are shows when all rows are read
                rows = stack.enter_context(tempfile.TemporaryFile(dir=path.parent))
                places = self._write_annotations(rows, done)
            out.write(b'{"info":' + msgspec.json.encode(self._info()))
            out.write(b',"licenses":' + msgspec.json.encode(self.facts.licenses if self.facts else []))
            out.write(b',"images":[')
            _joined(out, self._images(places, done))
            out.write(b'],"annotations":[')
            if rows is None:
                self._write_annotations(out, done)
            else:
                rows.seek(0)
                shutil.copyfileobj(rows, out, 1 << 20)
            out.write(b'],"categories":' + msgspec.json.encode(self._categories(done)) + b"}\n")
        done.unused = len(self.masks) - done.masks - len(done.broken) if self.masks else 0
        return done

    def _write_annotations(self, out: IO[bytes], done: Converted) -> Ints:
        """Write the elements of `annotations`; the places of their images among `sizes`."""
        begin = out.tell()
        try:
            return self._encode_all(out, self._in_order(), done)
        except _OutOfOrder:  # all rows of some images at a time then
            out.seek(begin)
            out.truncate()
            done.annotations = done.masks = 0
            done.unsized = sum(int((places_in(self._counted, batch.images) < 0).sum()) for batch in self._read())
            done.broken.clear()
            return self._encode_all(out, self._gathered(), done)

    def _info(self) -> dict[str, Any]:
        return {
            "description": f"Open Images, {self.split}: the rows as upstream has them, boxes in pixels",
            "url": "https://storage.googleapis.com/openimages/web/index.html",
        }

    def _images(self, places: Ints, done: Converted) -> Iterator[bytes]:
        for begin in range(0, len(places), _TOGETHER):
            some = places[begin : begin + _TOGETHER]
            ids, widths, heights = self.sizes.ids[some], self.sizes.widths[some], self.sizes.heights[some]
            names = list(map(image_name, ids.tolist()))
            told = self.facts.of(ids) if self.facts else []
            numbers = np.arange(begin, begin + len(some)) if not self.every else places_in(self._counted, ids)
            facts = [[one.get(key, msgspec.UNSET) for one in told] or [msgspec.UNSET] * len(some) for key in TOLD]
            records = list(
                map(
                    ImageRecord,
                    (numbers + first(self.split).image).tolist(),
                    widths.tolist(),
                    heights.tolist(),
                    [f"{self.split}/{name}.jpg" for name in names],
                    names,
                    *facts,
                )
            )
            done.rotated += sum(bool(one.get("Rotation")) for one in told)
            done.images += len(records)
            yield msgspec.json.encode(records)

    def _categories(self, done: Converted) -> list[dict[str, Any]]:
        found = [
            {
                "id": number,
                "name": name,
                "supercategory": self.classes.name(self.hierarchy.parent(mid)),
                "LabelName": mid,
            }
            for number, (mid, name) in enumerate(self.classes.names.items(), 1)
            if self.wanted is None or mid in self.wanted
        ]
        done.categories = len(found)
        return found

    @property
    def _counted(self) -> ImageIds:
        return self.sizes.ids if self.numbered is None else self.numbered

    def _read(self, images: ImageIds | None = None) -> Iterator[Batch]:
        columns = {*BOXES.columns, *FLAGS, "Source", "Confidence"}
        return read(self.boxes, BOXES, Wanted(images=images, classes=self.wanted), columns, self.block)

    def _in_order(self) -> Iterator[Rows]:
        """The rows as the table has them; _OutOfOrder when they are not in the order of their images."""
        last = np.uint64(0)
        for batch in self._read():
            if batch.images[0] < last or (batch.images[1:] < batch.images[:-1]).any():
                raise _OutOfOrder
            last = batch.images[-1]
            yield batch.columns, batch.images

    def _gathered(self) -> Iterator[Rows]:
        """The rows of some images at a time, the table read anew for each, however they lie in it."""
        import pyarrow

        for begin in range(0, len(self._counted), self.gathered):
            some = self._counted[begin : begin + self.gathered]
            found = [(batch.columns, batch.images) for batch in self._read(some)]
            if not found:
                continue
            images = np.concatenate([numbers for _, numbers in found])
            order = np.argsort(images, kind="stable")
            table = pyarrow.Table.from_batches([columns for columns, _ in found]).unify_dictionaries()
            (rows,) = table.combine_chunks().take(order).combine_chunks().to_batches()
            yield rows, images[order]

    def _encode_all(self, out: IO[bytes], found: Iterator[Rows], done: Converted) -> Ints:
        taken = np.zeros(len(self.masks or ()), np.bool_)
        numbers = _Numbers(self.every, self.split)

        def encoded() -> Iterator[bytes]:
            for rows, images in found:
                for begin in range(0, len(images), _TOGETHER):
                    some = rows.slice(begin, _TOGETHER), images[begin : begin + _TOGETHER]
                    yield msgspec.json.encode(self._encoded(*some, numbers, taken, done))

        _joined(out, encoded())
        return numbers.places()

    def _encoded(
        self,
        rows: pyarrow.RecordBatch,
        images: ImageIds,
        numbers: _Numbers,
        taken: npt.NDArray[np.bool_],
        done: Converted,
    ) -> list[AnnotationRecord]:
        """The records of some rows; those of images without a size are counted instead."""
        import pyarrow

        places = places_in(self.sizes.ids, images)
        sized = places >= 0
        order = places if self.numbered is None else places_in(self.numbered, images)
        ids, order = numbers.rows(order)[sized], order[sized]
        if not sized.all():
            done.unsized += int((~sized).sum())
            rows, images, places = rows.filter(pyarrow.array(sized)), images[sized], places[sized]
        corners = [np.asarray(rows[name].to_numpy()) for name in ("XMin", "XMax", "YMin", "YMax")]
        widths, heights = self.sizes.widths[places], self.sizes.heights[places]
        x, w = in_pixels(corners[0], corners[1], widths)
        y, h = in_pixels(corners[2], corners[3], heights)
        areas: list[float] = (w * h).tolist()
        categories = self._category_ids(rows, images)
        none: list[Any] = [msgspec.UNSET] * len(images)
        columns = {name: rows[name] for name in rows.schema.names}
        flags = {name: columns[name].to_numpy().tolist() if name in columns else none for name in FLAGS}
        crowds = [0] * len(images)
        if "IsGroupOf" in columns:
            crowds = (columns["IsGroupOf"].to_numpy() == 1).astype(np.int8).tolist()
        shapes = list(none)
        if self.masks is not None and len(self.masks):
            pairs = list(self.masks.pairs(images, categories, np.column_stack(corners), taken))
            for at, shape, area in _shapes(self.masks, pairs, widths, heights, done):
                shapes[at], areas[at] = shape, area
        sources = sure = none
        if "Source" in columns:
            texts = columns["Source"].dictionary.to_pylist()
            sources = [texts[at] for at in columns["Source"].indices.to_numpy().tolist()]
        # It is always 1, of boxes that people drew or checked
        if "Confidence" in columns and not (columns["Confidence"].to_numpy(zero_copy_only=False) == 1).all():
            sure = [msgspec.UNSET if one in (None, 1) else one for one in columns["Confidence"].to_pylist()]
        done.annotations += len(images)
        return list(
            map(
                AnnotationRecord,
                ids.tolist(),
                numbers.of(order).tolist(),
                categories.tolist(),
                list(map(Box, x.tolist(), y.tolist(), w.tolist(), h.tolist())),
                areas,
                crowds,
                shapes,
                *flags.values(),
                sources,
                sure,
            )
        )

    def _category_ids(self, rows: pyarrow.RecordBatch, images: ImageIds) -> Ints:
        labels = rows["LabelName"]
        mids = labels.dictionary.to_pylist()
        found: Ints = np.array([self.classes.numbers.get(mid, 0) for mid in mids], np.int64)[labels.indices.to_numpy()]
        if not found.all():
            at = int(np.argmin(found))
            raise WrongContent(
                f"{self.boxes.name}: a box of image {image_name(int(images[at]))} is of class {labels[at].as_py()}, "
                "which is not in the list of classes",
                hint="take the list of the same version, or that of all classes",
            )
        return found


class Drafting:
    """A conversion as a document, which remembers what came of it."""

    def __init__(self, conversion: Conversion) -> None:
        self._conversion = conversion
        self.done = Converted()

    def write(self, path: Path) -> None:
        """See `Conversion.write`; what came of it is in `done`."""
        self.done = self._conversion.write(path)


def in_pixels(low: Floats, high: Floats, length: Ints) -> tuple[Floats, Floats]:
    """Where a box begins and how far it goes, in pixels, from what upstream says in parts of the whole.

    Both are the numbers nearest to the true products: `0.148438` of 1024 is 152.000512, not 152.00051200000001.
    """
    first, last = np.rint(low * _DECIMALS), np.rint(high * _DECIMALS)
    exact = (first / _DECIMALS == low) & (last / _DECIMALS == high)
    begin = np.where(exact, first * length / _DECIMALS, low * length)
    return begin + 0.0, np.where(exact, (last - first) * length / _DECIMALS, (high - low) * length) + 0.0


class _Numbers:
    """The numbers that images and rows have in the JSON, by the place of each image; they come in order."""

    def __init__(self, every: bool, split: str) -> None:
        self._every, self._first = every, first(split)
        #: The last ids that were given, and the last place that came
        self._image, self._row, self._last = self._first.image - 1, self._first.annotation - 1, -1
        self._seen: list[Ints] = [np.zeros(0, np.int64)]

    def of(self, places: Ints) -> Ints:
        """Of the images: the place itself, or without `every` the count of those that came up to it."""
        if self._every or not len(places):
            return places + self._first.image
        new = np.diff(places, prepend=self._last) > 0
        found = self._image + np.cumsum(new)
        self._seen.append(places[new])
        self._image, self._last = int(found[-1]), int(places[-1])
        return found

    def rows(self, places: Ints) -> Ints:
        """Of the rows; one whose image has no place has that of the row before."""
        found: Ints = self._row + np.cumsum(places >= 0)
        self._row = int(found[-1])
        return found

    def places(self) -> Ints:
        """Those that came, each once."""
        return np.concatenate(self._seen)


def _shapes(
    masks: Masks, pairs: Sequence[tuple[int, int]], widths: Ints, heights: Ints, done: Converted
) -> Iterator[tuple[int, Shape, float]]:
    """Of pairs of a row and a mask each row whose mask can be read, with its shape and area."""
    wanted = [(mask, (int(widths[at]), int(heights[at]))) for at, mask in pairs]
    for (at, mask), found in zip(pairs, masks.all_runs(wanted), strict=True):
        if isinstance(found, StoreError):
            done.broken.append((masks.paths[mask], found.message))
            continue
        done.masks += 1
        yield at, Shape([int(heights[at]), int(widths[at])], found[0]), float(found[1])


class _OutOfOrder(Exception):
    """The rows of a table are not in the order of their images."""


def _joined(out: IO[bytes], lists: Iterator[bytes]) -> None:
    """Write the elements of JSON lists one after the other."""
    comma = b""
    for one in lists:
        if len(one) > 2:
            out.write(comma)
            out.write(memoryview(one)[1:-1])
            comma = b","
