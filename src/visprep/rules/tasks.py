"""The rules of task directories: what may be wrong with one task, and with all tasks of a place together.

What frames, prompts, metadata, ids, videos and duplicates have wrong stands in the files beside this one; here is what
concerns any file of a task, and what brings all of it together. One fault gives one finding: a check stays silent where
another has already said what is the matter.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from visprep.errors import UnsafePath
from visprep.findings import Finding, Level
from visprep.formats.task_loading import LoadedTask
from visprep.formats.tasks import DOMAIN_SUFFIX, PROMPT, Found, Layout, TaskDirectory
from visprep.rules import Depth, Rule, duplicates, frames, ids, metadata, prompts, strays, videos
from visprep.rules.duplicates import Comparison, Prints

__all__ = ["RULES", "Checked", "Comparison", "check", "check_place", "examine"]

NO_TASKS = Rule(
    "no-tasks",
    Level.ERROR,
    Depth.NAMES,
    "The place holds no task directory.",
    "An empty dataset passes every other check.",
    "name the directory that holds {domain}_task/{task_id}/, or download again",
    bad="A directory with nothing in it but photo.jpg.",
    near="One task, at a/b/maze_task/t0.",
)
TASK_FILE_CASE = Rule(
    "task-file-case",
    Level.ERROR,
    Depth.NAMES,
    "A file of a task has its name in the wrong case.",
    "Windows and macOS find it all the same; Linux and S3 do not, so that the task breaks when it is copied there.",
    "rename the file",
    bad="First_Frame.PNG in the place of first_frame.png.",
    near="Domains and ids in capitals: MAZE_task/T0.",
)
TASK_FILE_EMPTY = Rule(
    "task-file-empty",
    Level.ERROR,
    Depth.SIZES,
    "A file of a task, other than the prompt, has no bytes.",
    "It was begun and never written; loaders fail on it.",
    "fetch the file again",
    bad="final_frame.png has 0 bytes.",
    near="metadata.json has two: `{}`.",
)
TASK_FILE_LINK = Rule(
    "task-file-link",
    Level.WARNING,
    Depth.HEADERS,
    "A file of a task is a symbolic link.",
    "Copied to S3 it becomes a second file, in an archive it may lead nowhere; a change to the one changes the other.",
    'replace the link by the file: cp --remove-destination "$(readlink -f FILE)" FILE',
    bad="prompt.txt is a symbolic link to another file of the place.",
    near="prompt.txt is a hard link: a second name of the same file.",
)
TASK_FILE_MISSING = Rule(
    "task-file-missing",
    Level.ERROR,
    Depth.NAMES,
    "A task lacks a file that its layout requires.",
    "The task cannot be used.",
    "fetch the task again, or choose a layout that does not require the file (--layout)",
    bad="final_frame.png is not there, or is called final_frame.jpg.",
    near="metadata.json is not there: it is optional.",
)
TASK_FILE_UNREADABLE = Rule(
    "task-file-unreadable",
    Level.ERROR,
    Depth.HEADERS,
    "A file of a task is listed and cannot be read.",
    "What it holds is not known, and training would stop there.",
    "see to it that the file can be read, then verify again",
    bad="first_frame.png is a link that leads out of the place.",
    near="prompt.txt may be read and not be written.",
)
TASK_PATH = Rule(
    "task-path",
    Level.ERROR,
    Depth.NAMES,
    "A directory with the files of a task is not at {domain}_task/{task_id}.",
    "Tools that look for `*_task` directories pass it by.",
    "move it to {domain}_task/{task_id}/",
    bad="first_frame.png, final_frame.png and prompt.txt in t0, with no directory that ends in `_task` above.",
    near="generator/maze_task/t0: directories above are free.",
)

_OWN = (
    NO_TASKS,
    TASK_FILE_CASE,
    TASK_FILE_EMPTY,
    TASK_FILE_LINK,
    TASK_FILE_MISSING,
    TASK_FILE_UNREADABLE,
    TASK_PATH,
)
#: All rules of tasks, those of the files beside this one too.
RULES: tuple[Rule, ...] = tuple(
    sorted(
        (
            *_OWN,
            *duplicates.RULES,
            *frames.RULES,
            *ids.RULES,
            *metadata.RULES,
            *prompts.RULES,
            *strays.RULES,
            *videos.RULES,
        ),
        key=lambda rule: rule.code,
    )
)


def check_place(found: Found, layout: Layout, depth: Depth = Depth.NAMES) -> list[Finding]:
    """What is wrong with the tasks of a place taken together, as far as names tell, and what was not looked at."""
    if not found.directories:
        if links := [one for one in _strays(found) if one.code == strays.DIRECTORY_LINK.code]:
            return links
        others = f" (other files: {len(found.strays)})" if found.strays else ""
        return [NO_TASKS.at(".", f"no task is here in the layout {layout.name}{others}")]
    neighbors: dict[str, list[TaskDirectory]] = defaultdict(list)
    for directory in found.directories:  # a place inside this one has ids of its own
        neighbors[found.place_of(directory)].append(directory)
    about_ids = (finding for directories in neighbors.values() for finding in ids.check(directories, layout))
    return [*about_ids, *_strays(found), *videos.check_place(found, depth)]


def _strays(found: Found) -> Iterator[Finding]:
    return strays.check(found.strays, "belongs to no task", found.linked, found.places)


@dataclass(frozen=True, slots=True)
class Checked:
    """A task that was looked at: what is wrong with it, and the digests by which it is compared with others."""

    directory: TaskDirectory
    findings: tuple[Finding, ...]
    prints: Prints


def examine(loaded: LoadedTask, layout: Layout, depth: Depth) -> Checked:
    """Look at one task to `depth`, to which it must have been loaded; `Comparison` then takes what this gives."""
    seen = duplicates.prints(loaded) if depth.reaches(Depth.HEADERS) else Prints()
    return Checked(loaded.directory, tuple(check(loaded, layout, depth)), seen)


def check(loaded: LoadedTask, layout: Layout, depth: Depth) -> list[Finding]:
    """What is wrong with one task, looked at to `depth`, to which it must have been loaded."""
    findings = [*_names(loaded.directory, layout)]
    if depth.reaches(Depth.SIZES):
        findings += _empty(loaded, layout)
    if depth.reaches(Depth.HEADERS):
        findings += _reading(loaded, layout)
        findings += _prompt(loaded)
        findings += metadata.check(loaded, layout)
        looks = frames.looks(loaded, depth)
        findings += frames.check(loaded, looks)
        findings += videos.check(loaded, looks, depth)
    return findings


def _names(directory: TaskDirectory, layout: Layout) -> Iterator[Finding]:
    """What the names of its files, and its own, say against a task directory."""
    if directory.domain is None:
        shown = directory.path or directory.id or "."
        yield TASK_PATH.at(
            directory.path or ".",
            f"the task {shown!r} is not in a directory whose name ends in {DOMAIN_SUFFIX}",
        )
    others = [name for name in directory.files if name not in layout.names]
    meant = {name: other for other in others for name in layout.names if other.casefold() == name}
    for name, other in meant.items():
        there = f", and {name} is there too" if name in directory.files else ""
        yield TASK_FILE_CASE.at(directory.at(other), f"{other} should be {name}{there}", expected=directory.at(name))
    missing = [name for name in layout.required if name not in directory.files and name not in meant]
    others = [name for name in others if name not in meant.values()]
    yield from _missing(directory, layout, missing, others)


def _missing(directory: TaskDirectory, layout: Layout, missing: list[str], others: list[str]) -> Iterator[Finding]:
    """The required files that are not there, what may stand for them, and what else there is."""
    instead = {name: next((other for other in others if _stands_for(other, name)), None) for name in missing}
    if len(missing) == len(layout.required) and not any(instead.values()):
        yield TASK_FILE_MISSING.at(directory.path or ".", f"none of {', '.join(missing)} is there")
        instead = {}
    for name, other in instead.items():
        found = f"; {other} is there instead" if other else ""
        yield TASK_FILE_MISSING.at(directory.at(name), f"{name} is missing{found}")
    hidden: Counter[str] = Counter()
    for name in others:
        top = strays.hidden(name)
        if top:
            hidden[top] += 1
        elif name not in instead.values():  # those are named already
            path = directory.files[name].path
            yield strays.UNEXPECTED_FILE.at(path, f"{path} is not among the files of the layout {layout.name}")
    yield from (strays.all_hidden(directory.at(name), count) for name, count in hidden.items())


def _stands_for(other: str, name: str) -> bool:
    """Whether `other` is `name` with another suffix, or in a directory below."""
    path = PurePosixPath(other.casefold())
    return not strays.hidden(other) and path.stem == PurePosixPath(name).stem


def _empty(loaded: LoadedTask, layout: Layout) -> Iterator[Finding]:
    for name in layout.names:
        if _is_empty(loaded, name):
            rule = prompts.PROMPT_EMPTY if name == PROMPT else TASK_FILE_EMPTY
            yield rule.at(loaded.directory.at(name), f"{name} has 0 bytes")


def _is_empty(loaded: LoadedTask, name: str) -> bool:
    """Whether a file has no bytes, as the listing or reading it tells."""
    file = loaded.directory.files.get(name)
    return file is not None and (file.size == 0 or loaded.contents.get(name) == b"")


def _reading(loaded: LoadedTask, layout: Layout) -> Iterator[Finding]:
    """What cannot be read, and what can be though it lies elsewhere."""
    for name, error in loaded.unreadable.items():
        finding = TASK_FILE_UNREADABLE.at(loaded.directory.at(name), error.message, error=error.slug)
        outside = name in loaded.links and isinstance(error, UnsafePath)
        yield (
            replace(finding, hint=f"{TASK_FILE_LINK.fix}; for all of a place: cp -rL PLACE COPY")
            if outside
            else finding
        )
    for name in layout.names:
        if name in loaded.links and name not in loaded.unreadable:
            yield TASK_FILE_LINK.at(loaded.directory.at(name), f"{name} is a symbolic link")


def _prompt(loaded: LoadedTask) -> Iterator[Finding]:
    data = loaded.contents.get(PROMPT)
    if data:  # an empty one is named already
        size = None if loaded.whole(PROMPT) else loaded.directory.files[PROMPT].size or len(data)
        yield from prompts.check(data, loaded.directory.at(PROMPT), size)
