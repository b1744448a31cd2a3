"""Image sequences as tasks: first and last frame of each episode, or of each window of it, and a video of all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from visprep import temporary, video, wire
from visprep.clips import Clip, Prompts, check_installed, sound, task_path, texts
from visprep.convert_output import Made, Output, Planned, Shard, writing
from visprep.converting import ConvertResult, Losses, Origin, Wish
from visprep.errors import UsageError, WrongContent
from visprep.formats import episodes
from visprep.formats.episodes import Episode
from visprep.formats.tasks import FINAL_FRAME, FIRST_FRAME, PROMPT, VIDEOS
from visprep.images import as_png, to_pil
from visprep.looking import parts_of
from visprep.manifest import File
from visprep.render.text import counted
from visprep.rules import episodes as rules
from visprep.stores import Store
from visprep.task_shards import result, step

__all__ = ["convert"]

_LACKING = "put episode1.txt beside the directory episode1, or prompt.txt into it"


def convert(origin: Origin, target: Store, wish: Wish) -> ConvertResult:
    """See `visprep.convert`; MissingExtra without PyAV."""
    if wish.window is not None and wish.window < 2:
        raise UsageError(f"--window {wish.window}: a task begins and ends", hint="2 frames at least")
    check_installed()
    losses, prompts = Losses(wish.to), Prompts(origin, wish)
    asked = step(origin, wish, "frames", "av", "pillow")
    with writing(target, asked, wish) as output:
        cutting = _Cutting(origin, prompts, wish.window, losses, output)
        clips = sound(iter(cutting), prompts, lambda clip: _check(origin.store, clip.files), output, wish, _LACKING)
        prompts.lose(losses)
        for clip in clips:
            losses.lost("frames.pixels", clip.source, f"those between the ends of {clip.source}", len(clip.files) - 2)
        output.plan(lambda: (file for clip in clips for file in _files(clip, origin.store, prompts)))
        output.put(losses, lossless=wish.lossless)
    return result(origin, wish, "frames", output, losses, *cutting.notes)


@dataclass(slots=True)
class _Cutting:
    """The episodes of a place, cut into windows where that is asked for."""

    origin: Origin
    prompts: Prompts
    window: int | None
    losses: Losses
    output: Output
    gaps: int = 0

    def __iter__(self) -> Iterator[tuple[Clip | None, str]]:
        place = parts_of(self.origin.given, self.origin.store)
        for episode in episodes.find(self.origin.listing, place):
            for file in episode.frames:
                self.prompts.of(file.path)
            codes = {finding.code for finding in rules.check_names(episode)}
            if rules.EPISODE_NUMBER_REPEATED.code in codes:
                words = f"{episode.key}: two frames have the same number"
                self.output.failed(episode.key, WrongContent(words, hint="visprep verify names them"))
            elif episode.frames:
                self.gaps += rules.EPISODE_GAP.code in codes
                yield from self._cut(episode, place)

    def _cut(self, episode: Episode, place: tuple[str, ...]) -> Iterator[tuple[Clip | None, str]]:
        inside = f"{episode.path}/{PROMPT}" if episode.path else PROMPT
        prompt = self.prompts.of(episode.path, *([f"{episode.path}.txt"] if episode.path else []), inside)
        if prompt is None:
            yield None, episode.key
            return
        length = self.window or len(episode.frames)
        whole = len(episode.frames) // length
        if left := len(episode.frames) - whole * length:
            self.losses.lost("frames", episode.key, f"{episode.frames[-1].path}, which no window has,", left)
        digits = max(4, len(str(whole - 1)))
        for at in range(whole):
            part = f"_{at:0{digits}}" if self.window else ""
            some = slice(at * length, (at + 1) * length)
            numbers = episode.numbers[some]
            path = task_path(episode.path, place, "frames", part)
            yield Clip(path, episode.key, episode.frames[some], prompt, (numbers[0], numbers[-1])), episode.key

    @property
    def notes(self) -> tuple[str, ...]:
        """What else there is to know."""
        if not self.gaps:
            return ()
        return (f"{counted(self.gaps, 'episode')} with gaps, over which videos jump; visprep verify names them",)


def _check(store: Store, frames: tuple[File, ...]) -> None:
    """WrongContent when there are no two frames, one does not decode, or they are of several sizes."""
    if len(frames) < 2:
        raise WrongContent(f"{frames[0].path}: no other frame", hint="a task begins and ends")
    first = _size(store, frames[0])
    for file in frames[1:]:
        if (size := _size(store, file)) != first:
            words = "{} is {} x {} pixels, {} is {} x {}".format(frames[0].path, *first, file.path, *size)
            raise WrongContent(words, hint="bring all frames to one size")


def _size(store: Store, file: File) -> tuple[int, int]:
    try:
        return to_pil(wire.wait(store.read(file.path))).size
    except WrongContent as problem:
        raise WrongContent(f"{file.path}: {problem.message}") from problem


def _files(clip: Clip, store: Store, prompts: Prompts) -> Iterator[Planned]:
    first, last = clip.files[0].path, clip.files[-1].path
    yield Made(f"{clip.path}/{FIRST_FRAME}", lambda: as_png(wire.wait(store.read(first))))
    yield Made(f"{clip.path}/{FINAL_FRAME}", lambda: as_png(wire.wait(store.read(last))))
    yield from texts(clip, prompts)
    document = _Video(store, clip.files)
    yield Shard(f"{clip.path}/{VIDEOS[0]}", document, document.digest)


@dataclass(frozen=True, slots=True)
class _Video:
    """A video of frames, whose bytes depend on these alone."""

    store: Store
    frames: tuple[File, ...]

    def write(self, path: Path) -> None:
        """See `Document`."""
        video.write_video((wire.wait(self.store.read(file.path)) for file in self.frames), path)

    def digest(self) -> str:
        """`sha256:hex` of the bytes that `write` would write."""
        with temporary.directory("video") as home:
            path = home / VIDEOS[0]
            self.write(path)
            with path.open("rb") as file:
                return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
