"""The task layout: `{domain}_task/{task_id}/` with a first frame, a final frame and a prompt; written and read.

Which of the files a task must have is a `Layout`'s to say. Frames are PNG, 8-bit RGB. A prompt is UTF-8 that ends in
one line feed, which belongs to the file and not to the prompt.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from visprep import wire
from visprep.errors import FileMissing, UnknownContent, UnknownName, WrongContent, did_you_mean
from visprep.formats.directories import places
from visprep.images import as_png, container_fault, image_format
from visprep.manifest import DATASET, RECORD_DIR, File
from visprep.records import Task
from visprep.stores import Store, is_record

FIRST_FRAME, FINAL_FRAME, PROMPT = "first_frame.png", "final_frame.png", "prompt.txt"
FRAMES = (FIRST_FRAME, FINAL_FRAME)
METADATA, QUESTION_METADATA = "metadata.json", "question_metadata.json"
#: Files of a task that hold a JSON object.
METADATA_FILES = (METADATA, QUESTION_METADATA)
VIDEO_SUFFIXES = (".avi", ".mp4")
#: The whole of what happens, from the first frame to the final one.
VIDEOS = tuple(f"ground_truth{suffix}" for suffix in VIDEO_SUFFIXES)
#: The beginning and the end of it, as clips.
CLIPS = ("first_video.mp4", "last_video.mp4")
DOMAIN_SUFFIX = "_task"
#: Two of these make a directory one of a task, wherever it stands.
_CORE = frozenset({FIRST_FRAME, FINAL_FRAME, PROMPT})
_SEGMENT = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,100}")
_BLANK_ENDS = re.compile(r"\A[\s\ufeff]+|[\s\ufeff]+\Z")


@dataclass(frozen=True, slots=True)
class Layout:
    """The names of the files that a task must have, and of those that it may have.

    Where `generators` holds, a domain may stand in a directory that is named after its generator.
    `id_digits` says that an id is `{domain}_` and that many digits, `metadata_keys` what metadata.json must tell, and
    of which type.
    """

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    generators: bool = False
    id_digits: int | None = None
    metadata_keys: tuple[tuple[str, type], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All names that are expected in a task directory."""
        return self.required + self.optional


# template: github.com/vm-dataset/template-data-pipeline at c3963fb; ground truth in AVI is what it wrote before.
# vmevalkit: github.com/Video-Reason/VMEvalKit at ae2e8dc, with the metadata and goals of its version of 2025.
# vbvr: github.com/VBVR-DataFactory/template-data-pipeline at 662d33a; its ids, and the keys that generators ask for:
# github.com/VBVR-DataFactory/O-47_sliding_puzzle_data-generator at 22f1815, core/metadata_builder.py.
LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        layout.name: layout
        for layout in (
            Layout("template", (FIRST_FRAME, FINAL_FRAME, PROMPT), (*VIDEOS, METADATA)),
            Layout("vmevalkit", (FIRST_FRAME, PROMPT), (FINAL_FRAME, *VIDEOS, *METADATA_FILES, "goal.txt")),
            Layout(
                "vbvr",
                (FIRST_FRAME, FINAL_FRAME, PROMPT),
                (CLIPS[0], CLIPS[1], "ground_truth.mp4", METADATA),
                generators=True,
                id_digits=8,
                metadata_keys=(
                    ("task_id", str),
                    ("generator", str),
                    ("timestamp", str),
                    ("parameters", dict),
                    ("param_hash", str),
                    ("generation", dict),
                ),
            ),
        )
    }
)


def layout(name: str) -> Layout:
    """The layout of that name; UnknownName when there is none."""
    if name not in LAYOUTS:
        raise UnknownName(f"there is no layout {name!r}", hint=did_you_mean(name, LAYOUTS))
    return LAYOUTS[name]


# Writing


def segment(text: str) -> str:
    """`text` as one part of a path: itself where it is safe, else made safe, the same for the same text.

    Safe are 1 to 100 of `A-Z a-z 0-9 . _ -` that do not begin with a dot. A changed text ends in eight hexadecimal
    digits of its hash, so that two upstream names never fall together.
    """
    if _SEGMENT.fullmatch(text):
        return text
    mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    kept = re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._")[:90]
    return f"{kept}-{mark}" if kept else mark


def tidy_prompt(text: str) -> str:
    """The prompt as it is written, without the final line feed: no blanks at either end, lines end in a line feed."""
    return _BLANK_ENDS.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def visible(text: str) -> bool:
    """Whether anything of `text` can be seen: white space, control and zero-width characters cannot."""
    return any(not (char.isspace() or unicodedata.category(char) in ("Cc", "Cf", "Zs")) for char in text)


def lacks(task: Task, layout: Layout) -> str | None:
    """Why a record cannot fill `layout`, in the same words for the same cause; None when it can.

    A frame that is no image, or is visibly cut off, counts as lacking; one whose pixels are damaged shows only when
    `files_of` decodes it.
    """
    for name, frame, words in (
        (FIRST_FRAME, task.first_frame, "first frame"),
        (FINAL_FRAME, task.final_frame, "final frame"),
    ):
        if not frame:
            if name in layout.required:
                return f"no {words}"
        elif image_format(frame) is None:
            return f"the {words} is not an image"
        elif container_fault(frame):
            return f"the {words} is damaged"
    if not visible(task.prompt):
        return "no prompt"
    return None if _encodable(task.prompt) else "the prompt is not valid Unicode"


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, as a JSON escape can smuggle in
        return False
    return True


def files_of(task: Task) -> dict[str, bytes]:
    """The files of a task, by path relative to the place.

    WrongContent, naming the file, when a frame does not decode, the prompt is not valid Unicode, or the metadata is
    not plain JSON.
    """
    home = f"{segment(task.domain)}{DOMAIN_SUFFIX}/{segment(task.id)}"
    files = {f"{home}/{FIRST_FRAME}": _frame(task.first_frame, f"{home}/{FIRST_FRAME}")}
    if task.final_frame:
        files[f"{home}/{FINAL_FRAME}"] = _frame(task.final_frame, f"{home}/{FINAL_FRAME}")
    if not _encodable(task.prompt):
        raise WrongContent(f"{home}/{PROMPT}: half of a surrogate pair stands alone in the prompt")
    files[f"{home}/{PROMPT}"] = tidy_prompt(task.prompt).encode() + b"\n"
    if task.ground_truth is not None:
        if task.video_suffix not in VIDEO_SUFFIXES:
            raise WrongContent(f"{home}: a video is {' or '.join(VIDEO_SUFFIXES)}, not {task.video_suffix!r}")
        files[f"{home}/ground_truth{task.video_suffix}"] = task.ground_truth
    if task.metadata:
        files[f"{home}/{METADATA}"] = _json(task.metadata, f"{home}/{METADATA}")
    return files


def _frame(data: bytes, path: str) -> bytes:
    try:
        return as_png(data)
    except WrongContent as fault:
        raise WrongContent(f"{path}: {fault.message}") from fault


def _json(metadata: Mapping[str, Any], path: str) -> bytes:
    try:
        text = json.dumps(dict(metadata), sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
        return text.encode() + b"\n"
    except (TypeError, ValueError) as problem:
        raise WrongContent(f"{path}: the metadata is not plain JSON: {problem}") from problem


# Finding


@dataclass(frozen=True, slots=True)
class TaskDirectory:
    """A directory that holds a task, and its files by name relative to it.

    `path` is relative to the place, empty when the place itself is the directory. `domain` is None when the directory
    is not at `{domain}_task/{id}`.
    """

    path: str
    domain: str | None
    id: str
    files: Mapping[str, File] = field(default_factory=dict)

    def at(self, name: str) -> str:
        """The path of one of its files, relative to the place."""
        return f"{self.path}/{name}" if self.path else name

    @property
    def home(self) -> str:
        """The path of the directory that it stands in, `.` where that is the place, or beyond."""
        return self.path.rpartition("/")[0] or "."

    @property
    def generator(self) -> str | None:
        """The name of the directory above its domain's; None when that is the place, or beyond."""
        parts = self.path.split("/")
        return parts[-3] if len(parts) >= 3 else None


@dataclass(frozen=True, slots=True)
class Found:
    """The task directories of a place, and the files that belong to none, both in order of path."""

    directories: tuple[TaskDirectory, ...]
    strays: tuple[File, ...]
    #: The paths of places inside this one, that is, of directories with a record of their own.
    places: frozenset[str] = frozenset()
    #: The paths of strays that are symbolic links to directories, as far as anybody looked.
    linked: frozenset[str] = frozenset()

    def place_of(self, directory: TaskDirectory) -> str:
        """The innermost place that a task directory lies in, empty for this one."""
        inside = (place for place in self.places if directory.path.startswith(f"{place}/"))
        return max(inside, key=len, default="")


_Parts = tuple[str, ...]


def find(files: Iterable[File], place_name: tuple[str, ...] = ()) -> Found:
    """Group the listing of a place into task directories and strays.

    The place may be a root of any depth, one `{domain}_task` directory or one task directory: `place_name` is the
    path of the place itself, in parts, for the levels that the listing does not show. A directory anywhere with two
    of first frame, final frame and prompt counts as a task's; so does whatever stands at `{domain}_task/{id}` and has
    no task beneath it. visprep's own record is neither.
    """
    held: dict[_Parts, dict[str, File]] = {(): {}}
    files = list(files)
    inside = places(files)
    records = {f"{place}/{DATASET}" for place in inside} | {DATASET}
    for file in files:
        if is_record(file.path) or f"/{RECORD_DIR}/" in file.path or file.path in records:
            continue
        *parents, name = file.path.split("/")
        for depth in range(len(parents), 0, -1):
            if tuple(parents[:depth]) in held:
                break
            held[tuple(parents[:depth])] = {}
        if name:
            held[tuple(parents)][name] = file
    homes = _homes(held, place_name)
    contents: dict[_Parts, dict[str, File]] = {home: {} for home in homes}
    strays: list[File] = []
    for directory, own in held.items():
        home = next((directory[:depth] for depth in range(len(directory), -1, -1) if directory[:depth] in homes), None)
        if home is None:
            strays.extend(own.values())
        else:
            contents[home].update(("/".join((*directory[len(home) :], name)), file) for name, file in own.items())
    directories = (_directory(home, own, place_name) for home, own in contents.items())
    return Found(
        tuple(sorted(directories, key=lambda directory: directory.path.encode("utf-8", "surrogateescape"))),
        tuple(sorted(strays, key=lambda file: file.sort_key)),
        inside,
    )


def _homes(held: Mapping[_Parts, Mapping[str, File]], place_name: _Parts) -> frozenset[_Parts]:
    """Those of the directories that are a task's."""
    homes: set[_Parts] = set()
    above: set[_Parts] = set()
    for directory in sorted(held, key=len, reverse=True):  # the deepest first
        core = _CORE & held[directory].keys()
        placed = not _set_aside(directory) and _position(place_name + directory) is not None
        if len(core) >= 2 or (placed and (core or directory not in above)):
            homes.add(directory)
            above.update(directory[:depth] for depth in range(len(directory)))
    return frozenset(homes)


def _set_aside(directory: _Parts) -> bool:
    """Whether a directory is hidden, or a left-over of macOS in an archive; only whole tasks are looked for there."""
    return any(part.startswith(".") or part == "__MACOSX" for part in directory)


def _position(path: _Parts) -> tuple[str, str] | None:
    """The domain and id that a path says, None when it does not end in `{domain}_task/{id}`."""
    if len(path) < 2 or not path[-1] or not path[-2].removesuffix(DOMAIN_SUFFIX):
        return None
    return (path[-2].removesuffix(DOMAIN_SUFFIX), path[-1]) if path[-2].endswith(DOMAIN_SUFFIX) else None


def _directory(home: _Parts, files: Mapping[str, File], place_name: _Parts) -> TaskDirectory:
    full = place_name + home
    domain, id_ = _position(full) or (None, full[-1] if full else "")
    return TaskDirectory("/".join(home), domain, id_, files)


# Reading


def read(store: Store, place_name: tuple[str, ...] = ()) -> Iterator[Task]:
    """The tasks of a place, in order of path; `place_name` as for `find`.

    UnknownContent for a directory that is not at `{domain}_task/{id}`; WrongContent for a prompt that is not UTF-8 or
    metadata that is no JSON object; StoreError and NetworkError when a file is missing or cannot be read.
    """
    for directory in find(store.list(), place_name).directories:
        yield wire.wait(_task(store, directory))


async def _task(store: Store, directory: TaskDirectory) -> Task:
    if directory.domain is None:
        raise UnknownContent(
            f"{store.place}: the task directory {directory.path or '.'!r} is not at {{domain}}_task/{{task_id}}",
            hint="visprep verify lists all that is wrong with a place",
        )
    files = directory.files
    for name in (FIRST_FRAME, PROMPT):
        if name not in files:
            raise FileMissing(f"{directory.at(name)}: no such file", hint="visprep verify lists all that is missing")
    video = next((suffix for suffix in VIDEO_SUFFIXES if f"ground_truth{suffix}" in files), None)
    return Task(
        domain=directory.domain,
        id=directory.id,
        prompt=_decoded(await store.read(files[PROMPT].path), directory.at(PROMPT)),
        first_frame=await store.read(files[FIRST_FRAME].path),
        final_frame=await store.read(files[FINAL_FRAME].path) if FINAL_FRAME in files else None,
        ground_truth=await store.read(files[f"ground_truth{video}"].path) if video else None,
        video_suffix=video or VIDEO_SUFFIXES[0],
        metadata=_object(await store.read(files[METADATA].path), directory.at(METADATA)) if METADATA in files else {},
    )


def _decoded(data: bytes, path: str) -> str:
    try:
        return tidy_prompt(data.decode())
    except UnicodeDecodeError as problem:
        raise WrongContent(f"{path}: byte {problem.start} is not UTF-8") from problem


def _object(data: bytes, path: str) -> dict[str, Any]:
    try:
        return json_object(data)
    except ValueError as problem:
        raise WrongContent(f"{path}: {problem}") from problem


def _no_constant(name: str) -> Any:
    raise ValueError(f"not JSON: {name}, which Python writes and other readers refuse")


def json_object(data: bytes) -> dict[str, Any]:
    """The JSON object in a metadata file; ValueError, in words, when it is not UTF-8, not JSON, or no object."""
    try:
        value = json.loads(data.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError as problem:
        raise ValueError(f"byte {problem.start} is not UTF-8") from problem
    except json.JSONDecodeError as problem:
        raise ValueError(f"not JSON: {problem}") from problem
    except RecursionError as problem:
        raise ValueError("not readable: nested too deep") from problem
    if not isinstance(value, dict):
        raise ValueError(f"a JSON {type(value).__name__} where an object should be")
    return value
