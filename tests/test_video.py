from __future__ import annotations

import contextlib
import io
import itertools
import math
import resource
import struct
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageDraw

from visprep.errors import FileMissing, StoreError, UnsafePath, UsageError, WrongContent
from visprep.rules.videos import ALIKE, SURE
from visprep.video import CODECS, VideoFacts, available, first_frame, last_frame, probe, psnr, watch, write_video

WRITABLE = [(suffix, codec) for suffix, codecs in CODECS.items() for codec in codecs]
COCO = Path(__file__).parents[2] / "shared" / "real" / "coco"


def drawn(at: float, size: tuple[int, int] = (320, 192)) -> Image.Image:
    """A puzzle as they are drawn: flat colors, thin lines, text; a ball rolls from `at` 0 to 1."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    width, height = size
    for column in range(6):
        left = 6 + column * width // 6
        color = ((220, 50, 50), (60, 110, 200), (50, 160, 80))[column % 3]
        draw.rectangle((left, height // 12, left + width // 12, height // 5), fill=color, outline="black")
    draw.line((0, height * 2 // 3, width, height * 2 // 3), fill=(200, 30, 30), width=2)
    draw.text((12, height * 3 // 4), "move the ball to the right", fill="black")
    left = 8 + at * (width - 40)
    draw.ellipse((left, height * 5 // 12, left + 24, height * 5 // 12 + 24), fill=(10, 120, 30))
    return image


def rolling(count: int = 13) -> list[Image.Image]:
    return [drawn(number / (count - 1)) for number in range(count)]


@pytest.fixture(scope="session")
def photos() -> list[Image.Image]:
    """Photographs, each cut to one size."""
    if not COCO.is_dir():
        pytest.skip("the real photographs are not on this machine")
    return [Image.open(path).convert("RGB").resize((320, 240)) for path in sorted(COCO.glob("*2017/*.jpg"))[:6]]


def written(path: Path, frames: list[Image.Image], codec: str | None = None, fps: float = 16) -> bytes:
    assert write_video(frames, path, fps, codec) == len(frames)
    return path.read_bytes()


def encoded(frames: list[Image.Image], codec: str, suffix: str, pixels: str, **options: str) -> bytes:
    """A video as other programs write it."""
    target = io.BytesIO()
    with av.open(target, "w", format=suffix[1:]) as container:
        stream = container.add_stream(codec, rate=16, options=options)
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = pixels
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        container.mux(stream.encode(None))
    return target.getvalue()


# Writing and reading back


@pytest.mark.parametrize(("suffix", "codec"), WRITABLE)
def test_what_is_written_is_found_again(tmp_path: Path, suffix: str, codec: str) -> None:
    frames = rolling()
    path = tmp_path / f"film{suffix}"
    data = written(path, frames, codec)
    for source in (path, str(path), data):
        facts = probe(source)
        assert facts == VideoFacts(codec, 320, 192, 13, 16.0, 13 / 16)
        assert facts.size == (320, 192)
        seen = watch(source)
        assert seen == watch(source, every_frame=True)
        assert seen.facts == facts
        assert (first_frame(source), last_frame(source)) == (seen.first, seen.last)
    assert seen.first is not None
    assert seen.first.mode == "RGB"
    for shown, frame in ((seen.first, frames[0]), (seen.last, frames[-1])):
        assert psnr(shown, frame) > 34
        assert codec != "ffv1" or psnr(shown, frame) == math.inf


@pytest.mark.parametrize(("suffix", "codec"), [(".avi", "mjpeg"), (".mp4", "h264")])
def test_each_kind_of_file_has_a_usual_codec(tmp_path: Path, suffix: str, codec: str) -> None:
    for name in (f"film{suffix}", f"FILM{suffix.upper()}"):
        assert probe(written(tmp_path / name, rolling(2))).codec == codec


@pytest.mark.parametrize(("suffix", "codec"), WRITABLE)
def test_the_same_frames_make_the_same_bytes(tmp_path: Path, suffix: str, codec: str) -> None:
    frames = rolling(4)
    path = tmp_path / f"film{suffix}"
    assert written(path, frames, codec) == written(path, frames, codec)
    assert b"Lavf" not in path.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("size", [(333, 201), (17, 5), (2, 3), (1, 1)])
@pytest.mark.parametrize(("suffix", "codec"), WRITABLE)
def test_odd_sides_are_kept_or_refused(tmp_path: Path, suffix: str, codec: str, size: tuple[int, int]) -> None:
    path = tmp_path / f"film{suffix}"
    frames = [Image.new("RGB", size, color) for color in ("navy", "gold")]
    if codec == "h264":
        with pytest.raises(WrongContent, match="{} x {} pixels: h264 takes even sides".format(*size)) as error:
            write_video(frames, path, codec=codec)
        assert error.value.hint
        assert list(tmp_path.iterdir()) == []
        return
    seen = watch(written(path, frames, codec))
    assert seen.facts.size == size
    assert seen.last is not None
    assert psnr(seen.last, frames[-1]) > 30


@pytest.mark.parametrize("fps", [0.5, 8, 16.0, 23.976, Fraction(30000, 1001), 240])
def test_the_rate_is_kept(tmp_path: Path, fps: float | Fraction) -> None:
    for suffix in CODECS:
        facts = probe(written(tmp_path / f"film{suffix}", rolling(3), None, fps))  # type: ignore[arg-type]
        assert facts.fps == pytest.approx(float(fps), rel=1e-4)
        assert facts.duration == pytest.approx(3 / float(fps), rel=1e-3)


def test_frames_may_be_whatever_can_be_converted(tmp_path: Path) -> None:
    image = drawn(0)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    frames = [image, np.asarray(image), buffer.getvalue(), {"bytes": buffer.getvalue()}, image.convert("RGBA")]
    path = tmp_path / "film.avi"
    assert write_video(iter(frames), path, codec="ffv1") == 5
    assert psnr(first_frame(path), last_frame(path)) == math.inf


def test_half_a_second_of_one_frame(tmp_path: Path) -> None:
    seen = watch(written(tmp_path / "film.avi", [drawn(0)]))
    assert seen.facts.frames == 1
    assert seen.first == seen.last


def broken() -> Any:
    yield drawn(0)
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("name", "options", "frames", "error", "words"),
    [
        ("film.mkv", {}, rolling(2), UsageError, "written as .avi or .mp4"),
        ("film", {}, rolling(2), UsageError, "written as .avi or .mp4"),
        ("film.avi", {"codec": "h264"}, rolling(2), UsageError, "no codec 'h264' for .avi"),
        ("film.mp4", {"codec": "vp9"}, rolling(2), UsageError, "no codec 'vp9'"),
        ("film.avi", {"fps": 0}, rolling(2), UsageError, "0 frames a second"),
        ("film.avi", {"fps": -16}, rolling(2), UsageError, "-16 frames a second"),
        ("film.avi", {"fps": 1e9}, rolling(2), UsageError, "frames a second"),
        ("film.avi", {"fps": math.nan}, rolling(2), UsageError, "nan frames a second"),
        ("film.avi", {}, [], WrongContent, "no frames"),
        (
            "film.avi",
            {},
            [drawn(0), drawn(0, (320, 190))],
            WrongContent,
            "frame 2 is 320 x 190, the first is 320 x 192",
        ),
        ("film.avi", {}, [drawn(0), None], WrongContent, "nothing where an image should be"),
        ("no/such/film.avi", {}, rolling(2), FileMissing, "no/such/film.avi"),
        ("film.avi", {}, broken(), ZeroDivisionError, ""),
    ],
)
def test_what_cannot_be_written_is_said_and_leaves_nothing(
    tmp_path: Path, name: str, options: dict[str, Any], frames: Any, error: type[Exception], words: str
) -> None:
    before = {"film.avi": b"what was there"}
    for known, data in before.items():
        (tmp_path / known).write_bytes(data)
    with pytest.raises(error) as raised:
        write_video(frames, tmp_path / name, **options)
    assert words in str(raised.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_disk_that_takes_no_more_is_an_error_of_ours(tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk."""
    code = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
from PIL import Image
from visprep import errors, video
frames = [Image.effect_noise((200, 200), 90).convert("RGB") for _ in range(9)]
try:
    video.write_video(frames, {str(tmp_path / "film.avi")!r}, codec="ffv1")
except errors.StoreError as error:
    print(error.slug, error)
"""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] != 0
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("disk-error ")
    assert "film.avi" in ended.stdout
    assert ended.stderr == ""
    assert list(tmp_path.iterdir()) == []


# What is no video


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><title>404</title>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        (b"\x1a\x45\xdf\xa3" + b"\0" * 60, "unknown (it begins with the bytes 1a 45 df a3"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n", "unknown"),
        (b"ffconcat version 1.0\nfile first_frame.png\n", "unknown"),
        (b"RIFF\x10\0\0\0AVI LIST\0\0\0\0", "does not decode"),
        (b"\0\0\0\x14ftypisom\0\0\0\0isom", "does not decode"),
        (b"\0\0\0\x14ftypisom\0\0\0\0isom\0\0\1\0moov", "cut off"),
        (b"\0\0\0\x14ftypisom\0\0\0\0isom\0\0\0\1mdat\0\0\0\0\0\0\x10\0", "a part of 4096 bytes begins, 16 are there"),
        (b"\0\0\0\x14ftypisom\0\0\0\0isom\0\0\0\3mdat", "damaged"),
    ],
)
def test_what_is_no_video_is_named(data: bytes, words: str) -> None:
    for look in (probe, watch, first_frame, last_frame):
        with pytest.raises(WrongContent) as error:
            look(data)
        assert words in error.value.message


@pytest.mark.parametrize(("suffix", "codec"), WRITABLE)
def test_a_video_that_is_cut_off_is_found(tmp_path: Path, suffix: str, codec: str) -> None:
    data = written(tmp_path / f"film{suffix}", rolling(6), codec)
    for length in (11, 100, 1000, len(data) // 3, len(data) // 2, len(data) * 9 // 10, len(data) - 40):
        with pytest.raises(WrongContent):
            watch(data[:length])


@pytest.mark.parametrize(("suffix", "codec"), WRITABLE)
def test_bytes_after_the_end_are_tolerated(tmp_path: Path, suffix: str, codec: str) -> None:
    data = written(tmp_path / f"film{suffix}", rolling(6), codec)
    for tail in (b"more" * 10, b"\0\0\0\x0cfreemore", b"!", b"<html>\n", b"\0" * 9):
        assert watch(data + tail) == watch(data)


def test_an_avi_whose_writer_never_came_back_is_counted(tmp_path: Path) -> None:
    """Without its index, and with sizes that were never filled in: what a recorder leaves that lost its power."""
    data = written(tmp_path / "film.avi", rolling(6))
    data = data[: data.rindex(b"idx1")]
    data = data[:4] + b"\xff\xff\xff\xff" + data[8:]
    assert watch(data).facts.frames == 6


def test_an_mp4_whose_index_comes_first(tmp_path: Path) -> None:
    target = tmp_path / "film.mp4"
    with av.open(target, "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=16)
        stream.width, stream.height = 320, 192
        for frame in rolling(8):
            container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        container.mux(stream.encode(None))
    data = target.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert watch(data).facts.frames == 8
    with pytest.raises(WrongContent, match="cut off"):
        watch(data[: len(data) * 2 // 3])


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
@pytest.mark.parametrize("every_frame", [False, True])
def test_a_title_that_is_no_utf8_is_nobodys_fault(tmp_path: Path, suffix: str, every_frame: bool) -> None:
    target = tmp_path / f"film{suffix}"
    with av.open(target, "w") as container:
        container.metadata["title"] = "AAAAAAAA"
        stream = container.add_stream("mpeg4", rate=16)
        stream.width, stream.height = 320, 192
        for frame in rolling(3):
            container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        container.mux(stream.encode(None))
    data = target.read_bytes()
    assert data.count(b"AAAAAAAA") == 1
    assert watch(data.replace(b"AAAAAAAA", b"\xff\xfeAAAA\xe9A"), every_frame=every_frame).facts.frames == 3


def test_a_file_with_sound_alone_holds_no_video(tmp_path: Path) -> None:
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    with pytest.raises(WrongContent, match="no video"):
        watch(target.getvalue())


def test_a_header_without_frames(tmp_path: Path) -> None:
    target = io.BytesIO()
    with av.open(target, "w", format="avi") as container:
        stream = container.add_stream("mjpeg", rate=16)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p"
        container.start_encoding()
    seen = watch(target.getvalue())
    assert (seen.facts.frames, seen.first, seen.last) == (0, None, None)
    with pytest.raises(WrongContent, match="no frames"):
        first_frame(target.getvalue())


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    data = bytearray(written(tmp_path / "film.avi", rolling(2), "ffv1"))
    format_header = data.index(b"strf") + 8
    struct.pack_into("<ii", data, format_header + 4, 16_000, 16_000)
    with pytest.raises(WrongContent, match="declares 16000 x 16000 pixels"):
        watch(bytes(data))


@pytest.mark.parametrize("name", ["nothing.avi", "no/thing.avi", "folder", "a\0b.avi"])
def test_files_that_cannot_be_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError) as error:
        watch(tmp_path / name if "\0" not in name else name)
    assert not isinstance(error.value, WrongContent)
    assert isinstance(error.value, UnsafePath) == ("\0" in name)


def test_names_that_ffmpeg_would_take_for_protocols(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a.avi", "http:b.avi", "-i.avi", "ü b.avi", "%03d.avi"):
        written(Path(name), rolling(2))
        assert probe(name).frames == 2


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for suffix, codec in WRITABLE:
        data = written(tmp_path / f"film{suffix}", rolling(5), codec)
        for bad in (data, data[: len(data) // 2], data[:600] + bytes(400) + data[1000:]):
            for every_frame in (False, True):
                with contextlib.suppress(WrongContent):
                    watch(bad, every_frame=every_frame)
    assert capfd.readouterr() == ("", "")


def test_without_pyav_videos_need_an_extra() -> None:
    code = """
import sys
sys.modules["av"] = None
from visprep import errors, video
for call in (lambda: video.watch(b""), lambda: video.probe("x.avi"), lambda: video.write_video([], "x.avi")):
    try:
        call()
    except errors.MissingExtra as error:
        print(error.hint)
print(video.available(), video.psnr([[0]], [[0]]) if False else "")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split("\n")[:4] == ["pip install 'visprep[video]'"] * 3 + ["False "]
    assert available()


# Likeness


def test_psnr_of_what_is_known() -> None:
    black, white = Image.new("RGB", (16, 16)), Image.new("RGB", (16, 16), "white")
    gray = Image.new("RGB", (16, 16), (51, 51, 51))
    assert psnr(black, black) == math.inf
    assert psnr(black, white) == 0
    assert psnr(black, gray) == psnr(gray, black) == pytest.approx(20 * math.log10(5))
    dotted = black.copy()
    dotted.putpixel((3, 3), (255, 255, 255))
    assert psnr(black, dotted) == pytest.approx(10 * math.log10(256))
    assert psnr(black, dotted, reduce=16) == pytest.approx(20 * math.log10(255), abs=0.1)  # 1 of 255 everywhere
    assert psnr(np.asarray(black), white.convert("RGBA")) == 0
    assert psnr(black, white, reduce=100) == 0


@pytest.mark.parametrize("other", [Image.new("RGB", (15, 16)), None, b"junk"])
def test_what_cannot_be_compared(other: Any) -> None:
    with pytest.raises(WrongContent):
        psnr(Image.new("RGB", (16, 16)), other)


#: As others write them: codec, suffix, pixels and options, and what is the least that drawn pictures and photographs
#: may show. Measured was about 1 dB more; see the table in visprep.rules.videos.
LEAST = [
    ("mjpeg at its best", ("mjpeg", ".avi", "yuvj420p", {"qmin": "2", "qmax": "2"}), 41, 43),
    ("mjpeg", ("mjpeg", ".avi", "yuvj420p", {}), 37, 35),
    ("mpeg4 at its best", ("mpeg4", ".avi", "yuv420p", {"qmin": "2", "qmax": "2"}), 45, 42),
    ("mpeg4", ("mpeg4", ".mp4", "yuv420p", {}), 34, 29),
    ("h264", ("libx264", ".mp4", "yuv420p", {}), 43, 38),
    ("h264 at crf 35", ("libx264", ".mp4", "yuv420p", {"crf": "35"}), 39, 29),
    ("ffv1", ("ffv1", ".avi", "yuv420p", {}), 46, 44),
]


def least(frames: list[Image.Image], codec: str, suffix: str, pixels: str, options: dict[str, str]) -> float:
    """How like its first and last frame are to their own pictures, the worse of the two, in dB."""
    seen = watch(encoded(frames, codec, suffix, pixels, **options))
    return min(psnr(seen.first, frames[0], reduce=8), psnr(seen.last, frames[-1], reduce=8))


@pytest.mark.parametrize(("name", "how", "expected", "_"), LEAST, ids=[one[0] for one in LEAST])
def test_drawn_pictures_are_alike_through_every_codec(name: str, how: Any, expected: float, _: float) -> None:
    assert least(rolling(), *how) > expected > SURE


@pytest.mark.parametrize(("name", "how", "_", "expected"), LEAST, ids=[one[0] for one in LEAST])
def test_photographs_are_alike_through_every_codec(
    photos: list[Image.Image], name: str, how: Any, _: float, expected: float
) -> None:
    """One fades into another, which is as hard as it gets."""
    for first, final in itertools.pairwise(photos):
        frames = [Image.blend(first, final, step / 12) for step in range(13)]
        assert least(frames, *how) > expected > SURE


@pytest.mark.parametrize("make", [lambda: rolling(), lambda: rolling()[::-1]])
def test_the_other_end_of_a_drawn_task_is_less_alike_through_every_codec(make: Callable[[], list[Image.Image]]) -> None:
    frames = make()
    for _, how, _, _ in LEAST:
        codec, suffix, pixels, options = how
        seen = watch(encoded(frames, codec, suffix, pixels, **options))
        assert psnr(seen.first, frames[0], reduce=8) > 10 + psnr(seen.first, frames[-1], reduce=8)
        assert psnr(seen.last, frames[-1], reduce=8) > 10 + psnr(seen.last, frames[0], reduce=8)


def faded(size: tuple[int, int], count: int) -> list[Image.Image]:
    """One smooth picture that becomes another: hard for an encoder that is given few bits and no time."""
    across, down = np.linspace(0, 1, size[0])[None, :, None], np.linspace(0, 1, size[1])[:, None, None]
    first = np.array((255, 200, 0)) * (1 - across) + np.array((0, 40, 255)) * across + 0 * down
    slant = (across + down) / 2
    final = np.array((0, 10, 60)) * (1 - slant) + np.array((250, 255, 200)) * slant
    ends = [Image.fromarray(np.uint8(pixels)) for pixels in (first, final)]
    return [Image.blend(*ends, step / (count - 1)) for step in range(count)]


@pytest.mark.parametrize("count", [2, 13, 24])
@pytest.mark.parametrize("size", [(16, 16), (32, 32), (64, 48), (128, 96)])
def test_small_fades_at_the_usual_quality_are_no_error(size: tuple[int, int], count: int) -> None:
    lowest = min(least(faded(size, count), *how) for _, how, _, _ in LEAST)
    assert lowest > ALIKE + 2.5
    if count == 24 and size == (16, 16):
        assert lowest < SURE  # which is why there is room between the two


def test_other_photographs_are_not_alike(photos: list[Image.Image]) -> None:
    for first, other in itertools.combinations(photos, 2):
        assert psnr(first, other, reduce=8) < ALIKE - 2


def test_other_puzzles_are_not_alike_and_the_ends_of_one_lie_between(real_vtb: Path) -> None:
    pairs = [
        [Image.open(path.parent.parent / end / path.name).convert("RGB") for end in ("puzzles", "solutions")]
        for path in sorted(real_vtb.glob("*/*/puzzles/*.png"))
    ]
    assert len(pairs) == 10
    others = [psnr(*two, reduce=8) for two in itertools.combinations((pair[0] for pair in pairs), 2)]
    assert max(others) < SURE - 2
    assert sum(one < ALIKE for one in others) > 0.9 * len(others)
    ends = [psnr(*pair, reduce=8) for pair in pairs]
    assert min(ends) == pytest.approx(25.8, abs=0.1)
    assert max(ends) == pytest.approx(35.0, abs=0.1)
