"""AVI and MP4 by their bytes alone: which of them a file is, and whether it is cut off or names no frame rate."""

from __future__ import annotations

import os
from typing import BinaryIO

from visprep.errors import WrongContent
from visprep.image_headers import describe


def kind(file: BinaryIO) -> str:
    """`avi` or `mp4`; WrongContent, saying what it is, for anything else."""
    head = file.read(4096)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[4:8] == b"ftyp":
        return "mp4"
    what = describe(head)
    raise WrongContent(f"neither AVI nor MP4: {what.replace('no image', 'unknown') if head else 'empty'}")


def fault(file: BinaryIO, kind: str) -> str | None:
    """What is wrong with the container of an `avi` or `mp4`; None where nothing is."""
    return (_avi_fault if kind == "avi" else _mp4_fault)(file)


def _avi_fault(file: BinaryIO) -> str | None:
    """Whether an AVI is shorter than it says; that some writers are off by a few bytes is nobody's loss."""
    file.seek(4)
    declared = 8 + int.from_bytes(file.read(4), "little")
    end = file.seek(0, os.SEEK_END)
    known = 8 < declared < 2**32 + 7  # a writer that could not go back left 0, or all ones
    return f"the video is cut off: {end} of {declared} bytes are there" if known and declared > end + 8 else None


#: The boxes that an MP4 is made of at its top level; what else stands there is not told from bytes after the end.
_BOXES = frozenset("ftyp moov mdat free skip wide pdin moof mfra meta uuid sidx ssix styp prft udta".split())  # noqa: SIM905


def _mp4_fault(file: BinaryIO) -> str | None:
    """Whether the last of the boxes that an MP4 is made of is cut off.

    Not told by counting frames: an edit list may leave some out on purpose.
    """
    end, at = file.seek(0, os.SEEK_END), 0
    while at < end:
        file.seek(at)
        header = file.read(16)
        size = int.from_bytes(header[:4], "big")
        if size == 0 or header[4:8].decode("latin-1") not in _BOXES:  # to the end, or what follows it
            break
        if size == 1:  # the size follows in eight bytes
            size = int.from_bytes(header[8:16], "big")
        if size < 8 or at + size > end:
            return f"the video is cut off or damaged: at byte {at} a part of {size} bytes begins, {end - at} are there"
        at += size
    return None


def no_rate(file: BinaryIO) -> bool:
    """Whether an AVI names no frame rate, neither for the whole nor for its stream: FFmpeg would make it 25."""
    at = file.tell()
    file.seek(0)
    head = file.read(4096)
    file.seek(at)
    whole, stream = head.find(b"avih"), head.find(b"strh")
    if head[8:12] != b"AVI " or whole < 0 or stream < 0:
        return False
    scale, rate = head[stream + 28 : stream + 32], head[stream + 32 : stream + 36]
    return not any(head[whole + 8 : whole + 12]) and not (any(scale) and any(rate))
