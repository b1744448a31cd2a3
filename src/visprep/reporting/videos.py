"""Videos that a browser plays: MP4 as it is where it is small, all else made small and MP4 where PyAV is installed."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import partial
from itertools import islice

from PIL import Image

from visprep import temporary, video
from visprep.errors import VisprepError
from visprep.page.payload import Video

#: Bytes of a video that is read, and of one that goes on a page.
READ, SHOWN = 64_000_000, 600_000
#: Pixels a side, and frames, of one that is made smaller.
_SIDE, _FRAMES = 320, 600
_PLAYED = frozenset({"h264", "av1", "vp9", "vp8"})


def playable(data: bytes, name: str, size: int | None) -> Video:
    """The video in a file of that name and size, of which `data` was read; without one where it cannot be shown."""
    if size is not None and size > len(data):
        return Video("", note=f"{name}: {size / 1e6:.1f} MB are too many for this page")
    try:
        if not video.available():
            if name.endswith(".mp4") and len(data) <= SHOWN:
                return _address(data, name)
            return Video("", note=f"{name}: to see it here, install visprep with its extra 'video'")
        facts = video.probe(data)
        if name.endswith(".mp4") and len(data) <= SHOWN and facts.codec in _PLAYED:
            return _address(data, name)
        made = _made_small(data, facts)
    except VisprepError as problem:
        return Video("", note=f"{name}: {problem.message}")
    if len(made) > SHOWN:
        return Video("", note=f"{name}: {facts.frames:,} frames are too many for this page")
    return _address(made, f"{name}, made smaller" + ("" if name.endswith(".mp4") else " and MP4"))


def _address(data: bytes, note: str) -> Video:
    return Video("data:video/mp4;base64," + base64.b64encode(data).decode(), "video/mp4", note)


def _made_small(data: bytes, facts: video.VideoFacts) -> bytes:
    scale = min(1.0, _SIDE / max(facts.size))
    width, height = (max(2, int(side * scale) // 2 * 2) for side in facts.size)
    step = max(1, -(-facts.frames // _FRAMES))
    with temporary.directory("video") as folder:
        target = folder / "small.mp4"
        rate = (facts.fps or 16) / step
        video.write_video(_smaller(data, (width, height), step), target, min(max(rate, 0.1), 60))
        return target.read_bytes()


def _smaller(data: bytes, size: tuple[int, int], step: int) -> Iterator[Image.Image]:
    shrink = partial(Image.Image.resize, size=size, resample=Image.Resampling.BILINEAR)
    return map(shrink, islice(video.frames(data), 0, None, step))
