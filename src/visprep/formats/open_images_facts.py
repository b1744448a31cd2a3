"""What upstream tells of the images: license, author, where the original was, how its author turned it.

Open Images says that all its images were CC BY 2.0 when it took them, and asks everyone to look for himself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from visprep.formats.open_images_blocks import CsvFile
from visprep.formats.open_images_csv import ImageIds, Wanted, read
from visprep.formats.open_images_tables import IMAGES

if TYPE_CHECKING:
    import pyarrow

__all__ = ["TOLD", "ImageFacts", "license_numbers"]

#: COCO's numbers for the licenses of Flickr, so that a number means the same in both datasets.
_NUMBERS: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "by-nc-sa/2.0": (1, "Attribution-NonCommercial-ShareAlike License"),
        "by-nc/2.0": (2, "Attribution-NonCommercial License"),
        "by-nc-nd/2.0": (3, "Attribution-NonCommercial-NoDerivs License"),
        "by/2.0": (4, "Attribution License"),
        "by-sa/2.0": (5, "Attribution-ShareAlike License"),
        "by-nd/2.0": (6, "Attribution-NoDerivs License"),
    }
)
#: The first number of a license that COCO does not have.
_OTHERS = 9
#: What is told of an image: the number of its license, and columns of upstream's table, which keep their names.
TOLD = ("license", "OriginalURL", "Author", "Rotation")


@dataclass(frozen=True)
class ImageFacts:
    """What is told of some images, in the order of their ids; `licenses` as COCO lists them."""

    ids: ImageIds
    rows: pyarrow.Table | None
    licenses: list[dict[str, Any]]

    @classmethod
    def read(cls, file: CsvFile, images: ImageIds | None = None, splits: Collection[str] | None = None) -> ImageFacts:
        """Of a table of images, or of some images of it (sorted); of one that stands there twice the first row."""
        wanted = Wanted(splits, images)
        names = [name for name in file.columns if name in (*TOLD[1:], "License")]
        found = [(batch.columns.select(names), batch.images) for batch in read(file, IMAGES, wanted, names)]
        if not found or not names:  # some tables tell no more than which images there are
            return cls(np.zeros(0, np.uint64), None, [])
        import pyarrow

        ids, firsts = np.unique(np.concatenate([images for _, images in found]), return_index=True)
        rows = pyarrow.Table.from_batches([columns for columns, _ in found]).unify_dictionaries().combine_chunks()
        rows = rows.take(firsts)
        licenses: list[dict[str, Any]] = []
        if "License" in names:
            texts = rows["License"].combine_chunks()
            texts = texts.chunk(0) if hasattr(texts, "chunk") else texts
            urls = texts.dictionary.to_pylist()
            numbers, licenses = _numbered(urls)
            column = np.array([numbers.get(url, 0) for url in urls], np.int64)[texts.indices.to_numpy()]
            at = rows.schema.get_field_index("License")
            rows = rows.set_column(at, "license", pyarrow.array(column))
        return cls(ids, rows, licenses)

    def of(self, images: ImageIds) -> list[dict[str, Any]]:
        """What is told of each of these images, by upstream's names; the license by its number.

        What upstream leaves empty is not there, but for a Rotation that it does not know: that is null.
        """
        if self.rows is None:
            return [{} for _ in images]
        at = np.minimum(np.searchsorted(self.ids, images), len(self.ids) - 1)
        records: list[dict[str, Any]] = self.rows.take(at).to_pylist()
        return [_told(record) if there else {} for record, there in zip(records, self.ids[at] == images, strict=True)]


def _told(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if value or (value is None or name == "Rotation")}


def license_numbers(urls: Collection[str]) -> dict[str, int]:
    """The number of each license by its URL: COCO's, or from 9 on for others, in their order."""
    return _numbered(urls)[0]


def _numbered(urls: Collection[str]) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """The number of each license by its URL, and the licenses as COCO lists them."""
    others = sorted(url for url in urls if url and _short(url) not in _NUMBERS)
    numbers: dict[str, int] = {}
    licenses: dict[int, dict[str, Any]] = {}
    for url in sorted(filter(None, urls)):
        short = _short(url)
        number, name = _NUMBERS[short] if short in _NUMBERS else (_OTHERS + others.index(url), url)
        numbers[url] = number
        licenses.setdefault(number, {"id": number, "name": name, "url": url})
    return numbers, [licenses[number] for number in sorted(licenses)]


def _short(url: str) -> str:
    """`https://creativecommons.org/licenses/by/2.0/` is `by/2.0`."""
    return url.partition("://")[2].removeprefix("www.").removeprefix("creativecommons.org/licenses/").rstrip("/")
