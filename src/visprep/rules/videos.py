"""The rules of videos: that they decode, and that they begin and end with the frames of their task.

Two questions tell whether a frame of the video shows a picture. Is it like it: a PSNR, both averaged over squares of
8 x 8 pixels, of at least `ALIKE`, and beyond doubt of at least `SURE`? And is it not clearly more like the other end of
the task? docs/video.md has the tables. The least that was measured, in dB, over drawn puzzles, ten of VideoThinkBench,
and photographs that fade into each other, of 320 x 192 pixels and more:

| the first or last frame is held against | mjpeg | mpeg4 | h264 | ffv1 |
|---|---|---|---|---|
| its own picture, drawn; at the codec's best, h264 at its usual | 42.3 | 46.6 | 44.9 | the same |
| its own picture, a photograph; likewise | 44.2 | 43.8 | 39.3 | the same |
| its own picture, drawn; as it comes when nobody asks for quality, h264 at crf 35 | 38.2 | 35.6 | 40.0 | |
| its own picture, a photograph; likewise | 36.4 | 30.2 | 30.9 | |

Small frames at the encoder's usual quality go lower: 25.7 is the least of 2,548 encodings, from 16 x 16 pixels on. Of
other pictures the most that was measured is 14.4 for a photograph (22.7 at 16 x 16) and 24.4 for a puzzle. So below
`ALIKE` it is another picture, and between the two nobody can tell, which is a warning. The other end of the same puzzle
has 25.8 to 35.0; without averaging it is 25.5 to 31.2, and an own picture goes down to 23.0, so no threshold parts
those. The first question finds another picture altogether, the second the wrong end of the task, and neither finds what
differs in a detail only. tests/test_video.py measures it again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from PIL import Image

from visprep import video
from visprep.errors import StoreError
from visprep.findings import Finding, Level
from visprep.formats.task_loading import LoadedTask
from visprep.formats.tasks import CLIPS, FINAL_FRAME, FIRST_FRAME, VIDEOS, Found
from visprep.rules import Depth, Rule
from visprep.rules.frames import Look

#: dB, averaged over squares of `_SQUARE` pixels: below `ALIKE` a frame shows another picture, from `SURE` on its own.
ALIKE, SURE = 23.0, 27.0
_SQUARE = 8
#: dB by which a frame must be more like the other end of the task before that is said.
_CLEARLY = 6.0
#: Frames a second that are no slip: from a slide show to slow motion.
_RATES = (0.5, 240.0)

VIDEO_FIRST_FRAME = Rule(
    "video-first-frame",
    Level.ERROR,
    Depth.DECODE,
    "The first frame of the ground truth video does not show first_frame.png: they are alike by less than "
    f"{ALIKE:g} dB, or it is clearly more like final_frame.png.",
    "A model is given one picture and judged, or trained, on a video that begins with another.",
    "fetch or render the video again; it may belong to another task, or run backwards",
    bad="ground_truth.mp4 runs backwards.",
    near="A sound encoding of the right frames, with all that mpeg4 does to them.",
)
VIDEO_FRAME_COUNT = Rule(
    "video-frame-count",
    Level.ERROR,
    Depth.DECODE,
    "A video has no frame, or only one.",
    "Nothing happens in it: its writer was not given the frames, or stopped after the first.",
    "render the video again",
    bad="ground_truth.avi has one frame.",
    near="It has two.",
)
VIDEO_FRAME_DOUBTFUL = Rule(
    "video-frame-doubtful",
    Level.WARNING,
    Depth.DECODE,
    "The first or last frame of the ground truth video is less like its picture than a good encoding leaves it: "
    f"{ALIKE:g} to {SURE:g} dB.",
    "It may be another picture of the same kind, or its own one after a hard encoding: small, or a quick fade.",
    "look at both; where it is the right one, render the video in better quality, or ignore this",
    bad="A quick fade at 96 x 64 pixels, encoded in poor quality.",
    near="The same frames in the quality that encoders choose unasked.",
)
VIDEO_LAST_FRAME = Rule(
    "video-last-frame",
    Level.ERROR,
    Depth.DECODE,
    "The last frame of the ground truth video does not show final_frame.png: they are alike by less than "
    f"{ALIKE:g} dB, or it is clearly more like first_frame.png.",
    "The video stops before the task is solved, or belongs to another task.",
    "fetch or render the video again, or take its last frame as final_frame.png: visprep.video.last_frame(path)",
    bad="ground_truth.avi ends where a third of the way is done.",
    near="It stays on the final frame for a while.",
)
VIDEO_NOT_CHECKED = Rule(
    "video-not-checked",
    Level.NOTE,
    Depth.DECODE,
    "There are videos, and they were not looked into.",
    "That nothing was found says nothing about them.",
    "pip install 'visprep[video]', then verify again",
    bad="ground_truth.avi is there, and PyAV is not installed.",
    near="PyAV is installed, or there is no video.",
)
VIDEO_RATE = Rule(
    "video-rate",
    Level.WARNING,
    Depth.DECODE,
    "A video names no frame rate, or one that no video of a task has: below 0.5 or above 240 frames a second.",
    "Players and loaders that sample by time show it as a still, or skip nearly all of it.",
    "render the video again with its true rate",
    bad="An AVI of 16,000 frames a second, by a slip of three digits.",
    near="One frame in two seconds, or 240 a second.",
)
VIDEO_SIZE_MISMATCH = Rule(
    "video-size-mismatch",
    Level.WARNING,
    Depth.DECODE,
    "The ground truth video has another width or height than the frames of its task.",
    "Pixels of the video do not lie on those of the frames; whoever compares them scales one first. Some writers round "
    "sides up to a multiple of 16 unasked.",
    "render the video in the size of the frames",
    bad="Frames of 100 x 64 pixels, and a video of 112 x 64: rounded up to 16.",
    near="Frames of 95 x 63, and a video of 96 x 64: its format takes even sides only.",
)
VIDEO_UNDECODABLE = Rule(
    "video-undecodable",
    Level.ERROR,
    Depth.DECODE,
    "A video does not open, is cut off, or does not decode.",
    "It was begun and not ended, or damaged on its way; loaders fail on it.",
    "fetch or render the video again",
    bad="The second half of ground_truth.avi is missing.",
    near="Bytes of something else after its end.",
)

RULES: tuple[Rule, ...] = (
    VIDEO_FIRST_FRAME,
    VIDEO_FRAME_COUNT,
    VIDEO_FRAME_DOUBTFUL,
    VIDEO_LAST_FRAME,
    VIDEO_NOT_CHECKED,
    VIDEO_RATE,
    VIDEO_SIZE_MISMATCH,
    VIDEO_UNDECODABLE,
)


def check_place(found: Found, depth: Depth) -> Iterator[Finding]:
    """A note, once, when there are videos that this depth would look into, and nothing here can."""
    if not depth.reaches(Depth.DECODE) or video.available():
        return
    count = sum(name in directory.files for directory in found.directories for name in (*VIDEOS, *CLIPS))
    if count:
        message = f"{count} video{'' if count == 1 else 's'} not looked into: PyAV is not installed"
        yield VIDEO_NOT_CHECKED.at(".", message, count=count)


def check(loaded: LoadedTask, looks: Mapping[str, Look], depth: Depth) -> Iterator[Finding]:
    """What is wrong with the videos of a task.

    First and last frame are decoded, at `content` all of them. Only the ground truth is held against the frames: what
    the clips begin and end with is not laid down.
    """
    for name, source in loaded.videos.items():
        path = loaded.directory.at(name)
        try:
            seen = video.watch(source, every_frame=depth.reaches(Depth.CONTENT))
        except StoreError as problem:
            yield VIDEO_UNDECODABLE.at(path, f"{name}: {problem.message}")
            continue
        yield from _facts(name, path, seen.facts)
        if name in VIDEOS and seen.first and seen.last and seen.facts.frames > 1:
            pictures = {frame: pixels for frame, look in looks.items() if (pixels := look.pixels)}
            yield from _against(name, path, seen, pictures)


def _facts(name: str, path: str, facts: video.VideoFacts) -> Iterator[Finding]:
    if facts.frames < 2:
        counted = "1 frame" if facts.frames else "no frames"
        yield VIDEO_FRAME_COUNT.at(path, f"{name} has {counted}", frames=facts.frames)
    elif not _RATES[0] <= facts.fps <= _RATES[1]:
        rate = f"{facts.fps:g} frames a second" if facts.fps else "no frame rate"
        yield VIDEO_RATE.at(path, f"{name} has {rate} (frames: {facts.frames})", fps=facts.fps)


def _against(name: str, path: str, seen: video.Watched, pictures: Mapping[str, Image.Image]) -> Iterator[Finding]:
    """What is wrong between a video and the frames of its task, as far as those are sound and of one size."""
    sizes = {picture.size for picture in pictures.values()}
    if len(sizes) != 1:
        return
    (size,) = sizes
    if not _fits(seen.facts.size, size):
        wrong = "{} is {} x {} pixels, the frames are {} x {}".format(name, *seen.facts.size, *size)
        yield VIDEO_SIZE_MISMATCH.at(path, wrong, video=list(seen.facts.size), frames=list(size))
        return
    for rule, shown, words, frame, opposite in (
        (VIDEO_FIRST_FRAME, seen.first, "first", FIRST_FRAME, FINAL_FRAME),
        (VIDEO_LAST_FRAME, seen.last, "last", FINAL_FRAME, FIRST_FRAME),
    ):
        if shown is None or frame not in pictures:
            continue
        likeness = _likeness(shown, pictures[frame])
        other = _likeness(shown, pictures[opposite]) if opposite in pictures else 0.0
        message = f"the {words} frame of {name} is like {frame} {_decibels(likeness)}"
        if other > likeness + _CLEARLY:
            yield rule.at(path, f"{message}, like {opposite} {_decibels(other)}", psnr=round(likeness, 1))
        elif likeness < ALIKE:
            yield rule.at(path, f"{message}, where {ALIKE:g} are the least", psnr=round(likeness, 1))
        elif likeness < SURE:
            yield VIDEO_FRAME_DOUBTFUL.at(path, f"{message}, where {SURE:g} leave no doubt", psnr=round(likeness, 1))


def _decibels(likeness: float) -> str:
    return "in every pixel" if math.isinf(likeness) else f"by {likeness:.1f} dB"


def _fits(size: tuple[int, int], frame: tuple[int, int]) -> bool:
    """Whether a video has the size of a frame, or that with an odd side made even, which some codecs ask for."""
    return all(
        side == wanted or (side % 2 == 0 and abs(side - wanted) == 1) for side, wanted in zip(size, frame, strict=True)
    )


def _likeness(shown: Image.Image, picture: Image.Image) -> float:
    """PSNR in dB of the part that two pictures have in common, averaged over squares."""
    box = (0, 0, min(shown.width, picture.width), min(shown.height, picture.height))
    pair = [image if image.size == box[2:] else image.crop(box) for image in (shown, picture)]
    return video.psnr(*pair, reduce=_SQUARE)
