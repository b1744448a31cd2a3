"""Videos as tasks: each its own ground truth, its first and last frame beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import TypeAlias

from visprep import video, wire
from visprep.clips import Clip, Prompts, check_installed, sound, task_path, texts
from visprep.convert_output import Made, Planned, writing
from visprep.converting import ConvertResult, Losses, Origin, Wish
from visprep.errors import WrongContent
from visprep.formats.directories import set_aside
from visprep.formats.tasks import FINAL_FRAME, FIRST_FRAME, VIDEO_SUFFIXES
from visprep.images import encode_png
from visprep.looking import parts_of
from visprep.manifest import File
from visprep.renamed import Renamed
from visprep.render.text import counted
from visprep.stores import Store
from visprep.stores.local import LocalStore
from visprep.task_shards import result, step

__all__ = ["convert", "is_video"]

_Ends: TypeAlias = "tuple[bytes, bytes]"
#: Videos whose frames are held: the second frame of a task is asked for soon after the first.
_HELD = 16
_LACKING = "put walk.txt beside walk.mp4, or a metadata.csv with file_name and prompt"


def is_video(path: str) -> bool:
    """Whether a file is called as a video that becomes a task."""
    return path.lower().endswith(VIDEO_SUFFIXES) and not set_aside(path)


def convert(origin: Origin, target: Store, wish: Wish) -> ConvertResult:
    """See `visprep.convert`; MissingExtra without PyAV."""
    check_installed()
    losses, prompts = Losses(wish.to), Prompts(origin, wish)
    asked = step(origin, wish, "videos", "av", "pillow")
    with writing(target, asked, wish) as output:
        ends = lru_cache(_HELD)(partial(_ends, origin.store))
        clips = sound(_clips(origin, prompts), prompts, lambda clip: ends(clip.files[0]), output, wish, _LACKING)
        prompts.lose(losses)
        output.plan(lambda: (file for clip in clips for file in _files(clip, origin.store, prompts, ends)))
        output.put(losses, lossless=wish.lossless)
    return result(origin, wish, "videos", output, losses)


def _clips(origin: Origin, prompts: Prompts) -> Iterator[tuple[Clip | None, str]]:
    place = parts_of(origin.given, origin.store)
    place = place[:-1] if origin.alone else place
    for file in origin.listing:
        if is_video(file.path):
            stem = file.path[: file.path.rindex(".")]
            prompt = prompts.of(file.path, f"{stem}.txt")
            clip = None if prompt is None else Clip(task_path(stem, place, "videos"), file.path, (file,), prompt)
            yield clip, file.path


def _files(clip: Clip, store: Store, prompts: Prompts, ends: Callable[[File], _Ends]) -> Iterator[Planned]:
    (file,) = clip.files
    yield Made(f"{clip.path}/{FIRST_FRAME}", lambda: ends(file)[0])
    yield Made(f"{clip.path}/{FINAL_FRAME}", lambda: ends(file)[1])
    yield from texts(clip, prompts)
    yield Renamed(f"{clip.path}/ground_truth{file.path[file.path.rindex('.') :].lower()}", store, file)


def _ends(store: Store, file: File) -> _Ends:
    """The first and the last frame of a video as PNG; WrongContent when it is none, is damaged, or has no two."""
    source = store.root / file.path if isinstance(store, LocalStore) else wire.wait(store.read(file.path))
    try:
        seen = video.watch(source)
    except WrongContent as problem:
        raise WrongContent(f"{file.path}: {problem.message}") from problem
    if seen.first is None or seen.last is None or seen.facts.frames < 2:
        raise WrongContent(
            f"{file.path}: a video of {counted(seen.facts.frames, 'frame')}", hint="a task begins and ends"
        )
    return encode_png(seen.first), encode_png(seen.last)
