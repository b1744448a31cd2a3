"""Names of images as names of Pascal VOC: a stem for an annotation, an image and a line of a set."""

from __future__ import annotations

import re
from collections.abc import Sequence

from visprep.formats.voc_place import IMAGE_HOMES

__all__ = ["Stems", "numbers", "parted"]

#: What would be two words in a line of a set, and what names of files are better without.
_ODD = re.compile(r"[\s\\\x00-\x1f\x7f\ufffe\uffff]")
#: Bytes of a name without its ending, and letters of an ending: file systems take 255 bytes.
_NAME, _SUFFIX = 232, 8
#: Digits that a number has too many of to be an id.
_LONGEST = 19


def parted(name: str) -> tuple[str, str]:
    """The stem and the ending of an image's name, with its directories; of an address what comes last in it.

    The stem is empty where the name is.
    """
    if "://" in name:
        name = name.rpartition("/")[2]
    parts = [part for part in _ODD.sub("_", name).split("/") if part not in ("", ".", "..")]
    if len(parts) > 1 and parts[0] == IMAGE_HOMES[0]:
        del parts[0]
    parts = [_short(part) for part in parts]
    stem, dot, suffix = "/".join(parts).rpartition(".")
    return (stem, dot + suffix) if stem and "/" not in suffix and not stem.endswith("/") else ("/".join(parts), "")


def _short(part: str) -> str:
    """A name that file systems take, with room for another ending: of a long one the beginning, and its own ending."""
    stem, dot, suffix = part.rpartition(".")
    if len(f"{dot}{suffix}") > _SUFFIX:
        stem, dot, suffix = part, "", ""
    return stem.encode()[:_NAME].decode(errors="ignore") + dot + suffix if len(part.encode()) > _NAME else part


def numbers(stems: Sequence[str]) -> list[int]:
    """The ids of the images of these stems: the numbers that all are called by, else 1 and so on in their order."""
    names = [stem.rpartition("/")[2] for stem in stems]
    if all(name.isascii() and name.isdecimal() and len(name) < _LONGEST for name in names):
        found = list(map(int, names))
        if len(set(found)) == len(found):
            return found
    return list(range(1, len(stems) + 1))


class Stems:
    """The stems that were given away: no two images have one."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def free(self, stem: str) -> str:
        """The stem itself, or with the first number that makes it another than all before."""
        found, number = stem, 1
        while found in self._taken:
            number += 1
            found = f"{stem}_{number}"
        self._taken.add(found)
        return found
