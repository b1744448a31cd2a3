"""What videos and image sequences have in common on their way to tasks: names, prompts, and what is sound."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from visprep import video, wire
from visprep.convert_output import Made, Output
from visprep.converting import Losses, Origin, Wish
from visprep.engines.local import map_ordered
from visprep.errors import MissingExtra, UnsafePath, UsageError, VisprepError, WrongContent
from visprep.formats.directories import set_aside
from visprep.formats.tasks import DOMAIN_SUFFIX, METADATA, PROMPT, segment, tidy_prompt, visible
from visprep.manifest import DATASET, File
from visprep.progress import Pulse

__all__ = ["Clip", "Prompts", "check_installed", "sound", "task_path", "texts"]

#: Tables of what is in a directory, as Hugging Face's loader of videos and images reads them.
_TABLES = ("metadata.csv", "metadata.jsonl")
_FILE_NAME = "file_name"
#: Columns of such a table that say what a video shows, the first that there is.
_COLUMNS = ("prompt", "text", "caption")


@dataclass(frozen=True, slots=True)
class Clip:
    """What becomes one task.

    `path` is the directory of the task, `source` what it is made of, as the origin calls it, `files` are its video or
    its frames. `prompt` is the file that says it, or the text. `numbers` are those of the first and the last frame.
    """

    path: str
    source: str
    files: tuple[File, ...]
    prompt: File | str
    numbers: tuple[int, int] | None = None


def check_installed() -> None:
    """MissingExtra without PyAV."""
    if not video.available():
        raise MissingExtra("making tasks of videos and image sequences", "video")


def task_path(source: str, place: tuple[str, ...], kind: str, part: str = "") -> str:
    """The directory of a task: the name of the source is its id, that of the directory above its domain.

    What stands above that stays. `place` is the path of the place in parts, for what the source does not say; `part` is
    added to the id.
    """
    inside = source.split("/") if source else []
    above = list(place[-2 + len(inside) :]) if len(inside) < 2 else []
    *lead, domain, name = [kind, kind, *above, *inside][-max(2, len(inside)) :]
    domain = domain.removesuffix(DOMAIN_SUFFIX) or domain
    return "/".join((*map(segment, lead), f"{segment(domain)}{DOMAIN_SUFFIX}", segment(f"{name}{part}")))


class Prompts:
    """The prompts of a place: text files beside what they are about, rows of tables, and one for all others."""

    def __init__(self, origin: Origin, wish: Wish) -> None:
        self._origin, self._otherwise = origin, wish.prompt
        if wish.prompt is not None:
            try:
                self.text(wish.prompt)
            except WrongContent as problem:
                raise UsageError(f"--prompt: {problem.message}", hint=problem.hint) from None
        self._files = {file.path: file for file in origin.listing}
        self._rows: dict[str, str] = {}
        self._columns: dict[str, tuple[int, str]] = {}
        self._used: set[str] = set()
        for path in self._files:
            if path.rpartition("/")[2] in _TABLES and not set_aside(path):
                self._read(path)

    def of(self, source: str, *beside: str) -> File | str | None:
        """The prompt of a source: of the first of the files `beside` it that is there, else of a table, else for all.

        None when there is none.
        """
        self._used.add(source)
        for path in beside:
            if path in self._files:
                self._used.add(path)
                return self._files[path]
        return self._rows.get(source, self._otherwise)

    def text(self, prompt: File | str) -> str:
        """What a prompt says; WrongContent when that is nothing, or no UTF-8, and the errors of its file."""
        where = prompt.path if isinstance(prompt, File) else "the prompt"
        try:
            data = wire.wait(self._origin.store.read(prompt.path)).decode() if isinstance(prompt, File) else prompt
            data.encode()
        except UnicodeError:
            raise WrongContent(f"{where}: not UTF-8", hint="save it as UTF-8") from None
        if not visible(data):
            raise WrongContent(f"{where}: there is nothing to read in it", hint="say what is to happen")
        return tidy_prompt(data)

    def lose(self, losses: Losses) -> None:
        """Tell what no task has, now that all were asked for: files, rows, and other columns."""
        for path in self._files.keys() - self._used - {DATASET}:
            losses.lost("files", path, f"{path}, which is of no task,")
        for name in sorted(self._rows.keys() - self._used):
            losses.lost("metadata", ".", f"the row of {name}, which is not there,")
        for column, (count, path) in sorted(self._columns.items()):
            losses.lost(f"metadata.{column}", path, "the first row", count)

    def _read(self, path: str) -> None:
        """Take the rows of a table; WrongContent when it is none."""
        self._used.add(path)
        home = path.rpartition("/")[0]
        try:
            rows = list(_rows(path, wire.wait(self._origin.store.read(path)).decode("utf-8-sig")))
        except (ValueError, csv.Error, RecursionError) as problem:
            raise WrongContent(f"{path}: {problem}", hint="it is to be CSV, or a JSON object a line") from None
        known = next((name for name in _COLUMNS if any(name in row for row in rows)), None)
        if known is None:
            hint = f"the columns are {_FILE_NAME} and one of {', '.join(_COLUMNS)}"
            raise WrongContent(f"{path}: no column has the prompts", hint=hint)
        for number, row in enumerate(rows, 1):
            name = row.get(_FILE_NAME)
            if not isinstance(name, str) or not isinstance(row.get(known), str):
                raise WrongContent(f"{path}: row {number} lacks {_FILE_NAME} or {known}", hint="complete the row")
            self._rows[f"{home}/{name}" if home else name] = row[known]
            for column in row.keys() - {_FILE_NAME, known}:
                self._columns[str(column)] = self._columns.get(str(column), (0, path))[0] + 1, path


def _rows(path: str, text: str) -> Iterator[dict[str, Any]]:
    if path.endswith(".csv"):
        yield from csv.DictReader(io.StringIO(text, newline=""))
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is no JSON object")
            yield row


def sound(
    clips: Iterator[tuple[Clip | None, str]],
    prompts: Prompts,
    check: Callable[[Clip], object],
    output: Output,
    wish: Wish,
    lacking: str,
) -> list[Clip]:
    """Those that tasks can be made of; the others are told to `output`.

    Each comes with its source; None has no prompt, and when all are None that is a UsageError, with `lacking` for a
    hint. `check` raises what is wrong with the pictures.
    """
    found, without = [], []
    for clip, source in clips:
        if clip is None:
            without.append(source)
        else:
            found.append(clip)
    hint = f"{lacking}, or say it with --prompt"
    if without and not found:
        raise UsageError(f"nothing says what happens in {without[0]}, nor in any other", hint=hint)
    for source in without:
        output.failed(source, WrongContent(f"{source}: nothing says what happens in it", hint=hint))

    def look(clip: Clip) -> VisprepError | None:
        try:
            prompts.text(clip.prompt)
            check(clip)
        except VisprepError as error:
            return error
        return None

    named: defaultdict[str, list[Clip]] = defaultdict(list)
    pulse, looked = Pulse(wish.progress), map_ordered(look, found, wish.jobs)
    for number, (clip, error) in enumerate(zip(found, looked, strict=True), 1):
        pulse("Looking at pictures", number, len(found), "tasks", last=number == len(found))
        if error is None:
            named[clip.path.casefold()].append(clip)
        else:
            output.failed(clip.source, error)
    for same in named.values():
        for clip in same if len(same) > 1 else ():
            other = next(one for one in same if one is not clip)
            words = f"{clip.source} and {other.source} would be one task, {clip.path}"
            output.failed(clip.source, UnsafePath(words, hint="give one of them another name"))
    return [same[0] for same in named.values() if len(same) == 1]


def texts(clip: Clip, prompts: Prompts) -> Iterator[Made]:
    """The prompt of a task, and its metadata: what it was made of."""
    facts: dict[str, Any] = {"source": clip.source}
    if clip.numbers:
        facts["first_number"], facts["last_number"] = clip.numbers
    metadata = json.dumps(facts, sort_keys=True, indent=2, ensure_ascii=True)
    yield Made(f"{clip.path}/{METADATA}", lambda: f"{metadata}\n".encode())
    yield Made(f"{clip.path}/{PROMPT}", lambda: prompts.text(clip.prompt).encode() + b"\n")
