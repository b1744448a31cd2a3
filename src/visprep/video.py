"""Videos: what they are, their first and last frame, how alike two pictures are, and writing them.

Needs the extra `video` (PyAV), which is imported when the first video is opened. Only AVI and MP4 are opened, told by
their first bytes: left to guess, the library behind PyAV would also follow playlists, which name other files.
"""

from __future__ import annotations

import contextlib
import functools
import io
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from visprep import video_containers
from visprep.digests import digest_of
from visprep.errors import MissingExtra, UnsafePath, UsageError, WrongContent
from visprep.images import to_pil
from visprep.stores import PART_SUFFIX
from visprep.stores.local import LocalStore
from visprep.unbuffered import Unbuffered


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What a video is: width and height in pixels, frames as counted in the file, duration in seconds.

    `fps` is frames a second, 0 where the file does not say. `codec` is FFmpeg's name: mjpeg, mpeg4, h264, ffv1.
    """

    codec: str
    width: int
    height: int
    frames: int
    fps: float
    duration: float

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height


@dataclass(frozen=True, slots=True)
class Watched:
    """A video that was looked at: its facts, and its first and last frame as 8-bit RGB, None where it has none."""

    facts: VideoFacts
    first: Image.Image | None
    last: Image.Image | None


_NOT = "the video does not decode"
#: Encoded bytes, or the name of a file.
VideoSource = bytes | str | os.PathLike[str]


@functools.cache
def available() -> bool:
    """Whether videos can be opened here: the extra `video` is installed."""
    try:
        _av()
    except MissingExtra:
        return False
    return True


def _av() -> Any:
    try:
        import av
    except ImportError:
        raise MissingExtra("opening videos", "video") from None
    return av


def probe(source: VideoSource) -> VideoFacts:
    """What a video is, its frames counted and none of them decoded; errors as of `watch`."""
    with _opened(source) as video:
        return video.facts


def first_frame(source: VideoSource) -> Image.Image:
    """The first frame as 8-bit RGB; errors as of `watch`, and WrongContent when there is none."""
    with _opened(source) as video:
        return _picture(video.first())


def last_frame(source: VideoSource) -> Image.Image:
    """The last frame as 8-bit RGB, found by a seek; errors as of `watch`, and WrongContent when there is none."""
    with _opened(source) as video:
        return _picture(video.last())


def frames(source: VideoSource) -> Iterator[Image.Image]:
    """All frames as 8-bit RGB, one after the other; errors as of `watch`, where they are come by."""
    with _opened(source) as video:
        yield from (frame.to_image() for frame in video.every())


def _picture(picture: Image.Image | None) -> Image.Image:
    if picture is None:
        raise WrongContent("the video has no frames")
    return picture


def watch(source: VideoSource, *, every_frame: bool = False) -> Watched:
    """Facts, first and last frame in one go; with `every_frame` all others are decoded too.

    Damage is found where the decoder stumbles over it; some damage to pixels it conceals, and says nothing.
    WrongContent, saying what is wrong, when it is no AVI or MP4, is cut off, or does not decode. FileMissing,
    AccessDenied or DiskError when the file cannot be read, MissingExtra without PyAV.
    """
    with _opened(source) as video:
        if not every_frame:
            with contextlib.suppress(WrongContent):  # where a seek leads astray, only all frames from the first tell
                return Watched(video.facts, video.first(), video.last())
        return Watched(video.facts, *video.through())


@contextlib.contextmanager
def _opened(source: VideoSource) -> Iterator[_Video]:
    av = _av()
    with _file(source) as file:
        container_format = video_containers.kind(file)
        if fault := video_containers.fault(file, container_format):
            raise WrongContent(fault)
        file.seek(0)
        with _refusals(_NOT), av.open(file, format=container_format, metadata_errors="replace") as container:
            yield _Video(container, file)


@contextlib.contextmanager
def _file(source: VideoSource) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    if "\0" in os.fspath(source):
        raise UnsafePath(f"{source!r} is no name of a file")
    path = Path(os.path.abspath(source))  # noqa: PTH100 -- resolve() would follow links, and fail on loops
    with LocalStore(path.parent).errors(os.fspath(source)), path.open("rb") as file:
        yield file


@contextlib.contextmanager
def _refusals(what: str) -> Iterator[None]:
    """FFmpeg's and PyAV's refusals as WrongContent, but for those that hide one of the file system's."""
    try:
        yield
    except _av().FFmpegError as problem:
        if isinstance(problem.__context__, OSError):
            raise problem.__context__ from None
        raise WrongContent(f"{what}: {(problem.strerror or str(problem)).lower()}") from problem
    except ValueError as problem:  # what PyAV itself makes no sense of
        raise WrongContent(f"{what}: {problem}") from problem


class _Video:
    """An open container with its first video stream, its packets counted."""

    def __init__(self, container: Any, file: BinaryIO) -> None:
        if not container.streams.video:
            raise WrongContent("the file holds no video, only sound or nothing")
        self.container, self.stream = container, container.streams.video[0]
        if self.stream.codec_context is None:
            raise WrongContent("the installed PyAV does not decode the codec of the video")
        self.stream.codec_context.thread_count = 1  # work is spread over videos, not within one
        self.stream.codec_context.options = {"err_detect": "explode"}
        width, height = self.stream.codec_context.width, self.stream.codec_context.height
        if width * height > (Image.MAX_IMAGE_PIXELS or math.inf):
            raise WrongContent(f"the video declares {width} x {height} pixels")
        self.begin, self.end, frames = self._count()
        if container.format.name == "avi" and frames < self.stream.frames:
            raise WrongContent(f"the video is cut off: {self.stream.frames} frames are announced, {frames} are there")
        fps = 0.0 if video_containers.no_rate(file) else float(self.stream.average_rate or 0)
        self.facts = VideoFacts(
            self.stream.codec_context.name, width, height, frames, fps, self._duration() or (frames / fps if fps else 0)
        )

    def _count(self) -> tuple[int, int, int]:
        """The lowest and highest time stamp, and how many frames there are."""
        stamps = []
        for packet in self.container.demux(self.stream):
            if packet.size:
                stamp = packet.dts if packet.pts is None else packet.pts  # AVI knows no other than dts
                stamps.append(0 if stamp is None else int(stamp))
        return (min(stamps), max(stamps), len(stamps)) if stamps else (0, 0, 0)

    def _duration(self) -> float:
        return float((self.stream.duration or 0) * (self.stream.time_base or 0))

    def first(self) -> Image.Image | None:
        return _shown(next(self._from(self.begin), None))

    def last(self) -> Image.Image | None:
        frame = None
        for frame in self._from(self.end):  # noqa: B007 -- the last is what is asked for
            pass
        return _shown(frame)

    def through(self) -> tuple[Image.Image | None, Image.Image | None]:
        """First and last frame, all between them decoded."""
        first, last = None, None
        for frame in self._from(self.begin):
            first, last = first or _shown(frame), frame
        return first, _shown(last)

    def every(self) -> Iterator[Any]:
        return self._from(self.begin)

    def _from(self, stamp: int) -> Iterator[Any]:
        """The frames from the key frame before a time stamp on."""
        if not self.facts.frames:
            return
        with _refusals(_NOT):
            self.container.seek(stamp, stream=self.stream)
            yield from self.container.decode(self.stream)


def _shown(frame: Any) -> Image.Image | None:
    return None if frame is None else frame.to_image()


def psnr(first: Any, other: Any, *, reduce: int = 1) -> float:
    """The peak signal-to-noise ratio of two pictures of one size as 8-bit RGB, in dB; infinity when they are the same.

    `reduce` averages squares of so many pixels a side first: what a codec does to edges then weighs little, and what
    shows something else weighs as before. Pictures may be whatever `convert_to_pil_image` takes; WrongContent when one
    cannot be converted, or the sizes differ.
    """
    pictures = [to_pil(picture) for picture in (first, other)]
    if pictures[0].size != pictures[1].size:
        sizes = " and ".join("{} x {}".format(*picture.size) for picture in pictures)
        raise WrongContent(f"pictures of {sizes} pixels cannot be compared")
    values = [np.asarray(picture.reduce(reduce) if reduce > 1 else picture, np.int16) for picture in pictures]
    error = float(np.mean(np.square(values[0] - values[1], dtype=np.int32)))
    return 10 * math.log10(255**2 / error) if error else math.inf


@dataclass(frozen=True, slots=True)
class _Encoding:
    """How a codec is used: FFmpeg's name of the encoder, how pixels are held, and what it is told."""

    encoder: str
    pixels: str
    options: MappingProxyType[str, str]
    even: bool = False


# mjpeg and mpeg4 heed qmin and qmax only; 2 is their best. mjpeg keeps color at full size: on drawn pictures that is
# 16 dB for a third more bytes. ffv1 keeps every bit; a key frame each time, so that the last is found at once.
_BEST = MappingProxyType({"qmin": "2", "qmax": "2"})
_ENCODINGS = MappingProxyType(
    {
        "mjpeg": _Encoding("mjpeg", "yuvj444p", _BEST),
        "mpeg4": _Encoding("mpeg4", "yuv420p", _BEST),
        "ffv1": _Encoding("ffv1", "bgr0", MappingProxyType({"g": "1", "slicecrc": "1"})),
        "h264": _Encoding("h264", "yuv420p", MappingProxyType({"crf": "18"}), even=True),
    }
)
#: What each kind of file takes, the usual codec first.
CODECS = MappingProxyType({".avi": ("mjpeg", "mpeg4", "ffv1"), ".mp4": ("h264", "mpeg4")})


def write_video(
    frames: Iterable[Any], path: str | os.PathLike[str], fps: float | Fraction = 16, codec: str | None = None
) -> int:
    """Write pictures as a video, `.avi` or `.mp4` by the name of `path`; how many frames that were.

    Frames may be whatever `convert_to_pil_image` takes, all of one size; `fps` is frames a second. AVI takes `mjpeg`
    (the default), `mpeg4` and `ffv1` (lossless), MP4 `h264` (the default where PyAV can write it) and `mpeg4`. The same
    frames make the same bytes with the same PyAV. The file appears when it is whole, replacing what was there.

    UsageError for another name, codec or rate; WrongContent when there are no frames, one cannot be converted, sizes
    differ, or they are odd and the codec is h264. DiskFull, AccessDenied or DiskError when it cannot be written.
    """
    target = Path(path)
    encoding = _encoding(target, codec)
    rate = Fraction(fps).limit_denominator(1001) if 0 < fps <= 1000 else Fraction(0)
    if not rate:
        raise UsageError(f"{fps} frames a second make no video", hint="between 1/1001 and 1000 can be written")
    part = target.with_name(f".{digest_of(os.fsencode(target.name))[7:31]}{PART_SUFFIX}")
    try:
        with LocalStore(target.parent).errors(os.fspath(path)):
            with part.open("w+b", buffering=0) as file, _refusals(f"{os.fspath(path)}: the frames cannot be encoded"):
                count = _encode(frames, Unbuffered(file), target.suffix.lower()[1:], rate, encoding)
            part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return count


def _encoding(target: Path, codec: str | None) -> _Encoding:
    known = CODECS.get(target.suffix.lower(), ())
    if not known:
        raise UsageError(f"{target.name}: a video is written as {' or '.join(CODECS)}", hint="change the suffix")
    here = [name for name in known if _writes(name)]
    if codec is None and here:
        return _ENCODINGS[here[0]]
    if codec not in here:
        raise UsageError(
            f"{target.name}: no codec {codec!r} for {target.suffix}",
            hint=f"there are: {', '.join(here) or 'none here'}",
        )
    return _ENCODINGS[codec]


def _writes(codec: str) -> bool:
    """Whether PyAV was built with an encoder for it."""
    try:
        return bool(_av().Codec(_ENCODINGS[codec].encoder, "w").is_encoder)
    except ValueError:
        return False


def _encode(frames: Iterable[Any], file: Unbuffered, container_format: str, rate: Fraction, encoding: _Encoding) -> int:
    av = _av()
    count, size, stream = 0, (0, 0), None
    with av.open(file, "w", format=container_format, options={"fflags": "+bitexact"}) as container:  # no date
        for count, picture in enumerate(map(to_pil, frames), 1):
            if stream is None:
                size, stream = picture.size, _new_stream(container, picture.size, rate, encoding)
            if picture.size != size:
                words = "frame {} is {} x {}, the first is {} x {}".format(count, *picture.size, *size)
                raise WrongContent(words, hint="bring all frames to one size")
            frame = av.VideoFrame.from_image(picture)
            frame.pts, frame.time_base = count - 1, 1 / rate
            container.mux(stream.encode(frame))
        if stream is None:
            raise WrongContent("there are no frames to make a video of")
        container.mux(stream.encode(None))
    return count


def _new_stream(container: Any, size: tuple[int, int], rate: Fraction, encoding: _Encoding) -> Any:
    if encoding.even and (size[0] % 2 or size[1] % 2):
        raise WrongContent(
            "frames of {} x {} pixels: h264 takes even sides only".format(*size),
            hint="choose another codec (all take odd sides), or add a row or column to the frames",
        )
    stream = container.add_stream(encoding.encoder, rate=rate, options=dict(encoding.options))
    stream.width, stream.height = size
    stream.pix_fmt = encoding.pixels
    stream.codec_context.thread_count = 1  # the same bytes on every machine, however many cores it has
    stream.codec_context.flags |= _av().codec.context.Flags.bitexact
    return stream
