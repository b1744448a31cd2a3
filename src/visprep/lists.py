"""Lists that people keep in files: numbers, images of Open Images, and checksums."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from visprep.errors import FileMissing, UsageError

_SUM = re.compile(r"([0-9a-fA-F]+) [ *](.+)")
_IMAGE = re.compile(r"(train|validation|test)/([0-9a-fA-F]{16})(?:\.jpg)?")
_ALGORITHMS = {32: "md5", 40: "sha1", 64: "sha256"}


def numbers_in(value: str | os.PathLike[str] | Sequence[int] | None, option: str) -> tuple[int, ...] | None:
    """The numbers of a sequence, or of a file with one a line (`#` begins a remark); None for None.

    UsageError for a line that is no whole number, or when there is none, FileMissing for a file that is not there.
    """
    if value is None:
        return None
    if not isinstance(value, (str, os.PathLike)):
        return tuple(int(number) for number in value)
    numbers: dict[int, None] = {}
    for at, line in enumerate(_lines(value), 1):
        word = line.partition("#")[0].strip()
        try:
            numbers.update(dict.fromkeys([int(word)] if word else []))
        except ValueError:
            raise UsageError(
                f"--{option} {os.fspath(value)}, line {at}: {word[:40]!r} is no whole number", hint="one id a line"
            ) from None
    if not numbers:
        raise UsageError(f"--{option} {os.fspath(value)}: there is no id in it", hint="one id a line")
    return tuple(numbers)


def split_images_in(file: str | os.PathLike[str], option: str) -> dict[str, tuple[str, ...]]:
    """The ids of images by split, from a list as Open Images' own downloader takes it: `train/f9e0434389a1d4dd`.

    Each is there once, in lower case, in the order of the file; `.jpg` may follow, and `#` begins a remark. UsageError,
    with the numbers of the lines, for others, or when there is none; FileMissing for a file that is not there.
    """
    found: dict[str, dict[str, None]] = {}
    bad: list[str] = []
    for at, line in enumerate(_lines(file), 1):
        word = line.partition("#")[0].strip()
        if match := _IMAGE.fullmatch(word):
            found.setdefault(match[1], {})[match[2].lower()] = None
        elif word:
            bad.append(f"line {at}: {word[:40]!r}")
    if bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise UsageError(
            f"--{option} {os.fspath(file)}, {'; '.join(bad[:3])}{more}: no split and id of an image",
            hint="one image a line, as in train/f9e0434389a1d4dd; the splits are train, validation and test",
        )
    if not found:
        raise UsageError(f"--{option} {os.fspath(file)}: there is no image in it", hint="one image a line")
    return {split: tuple(ids) for split, ids in found.items()}


def checksums_in(file: str | os.PathLike[str]) -> dict[str, dict[str, str]]:
    """The digests of archives by their name (without `.zip`) and the algorithm, from a file of `sha256sum` or `md5sum`.

    UsageError for a line that is not as they write it, FileMissing for a file that is not there.
    """
    sums: dict[str, dict[str, str]] = {}
    for at, line in enumerate(_lines(file), 1):
        if not line.strip():
            continue
        found = _SUM.fullmatch(line.strip())
        algorithm = _ALGORITHMS.get(len(found[1])) if found else None
        if not found or not algorithm:
            raise UsageError(
                f"--checksums {os.fspath(file)}, line {at}: not as sha256sum or md5sum write it",
                hint="make it with: sha256sum *.zip > SHA256SUMS",
            )
        name = found[2].rpartition("/")[2].removesuffix(".zip")
        sums.setdefault(name, {})[algorithm] = found[1].lower()
    return {name: dict(sorted(told.items(), reverse=True)) for name, told in sums.items()}


def _lines(file: str | os.PathLike[str]) -> list[str]:
    try:
        return Path(file).read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise FileMissing(
            f"{os.fspath(file)}: {(error.strerror or str(error)).lower()}", hint="check the path"
        ) from None
