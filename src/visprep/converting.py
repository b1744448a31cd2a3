"""What a conversion is, whatever is converted to whatever: what it takes, what is lost, and what came of it."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol, Self

from visprep import wire
from visprep.engines import Engine
from visprep.engines.local import Local
from visprep.errors import AGAIN, FileMissing, Incomplete, UnsafePath, VisprepError, WrongContent
from visprep.findings import Finding
from visprep.formats.class_map import ClassMap
from visprep.formats.directories import set_aside
from visprep.formats.open_images_coco import Converted
from visprep.known_files import with_remembered
from visprep.manifest import DATASET, File
from visprep.progress import OnProgress, unheard
from visprep.render.text import counted
from visprep.rules.conversions import FIELD_LOST
from visprep.settings import S3Settings
from visprep.stores import Store, is_record

__all__ = ["ConvertResult", "Converter", "Failed", "Losses", "Lossy", "Origin", "PartlyConverted", "Wish"]


@dataclass(frozen=True)
class Origin:
    """What is converted: a place, or one `file` of it where that was named.

    `given` is how the user said it, `told` what was found out of it already, by name, and `empty` the directories with
    nothing in them, once the listing is known. `alone` is a file that is all there is, with its `beside`, such as the
    prompt of a video: of the place around it nothing else is looked at.
    """

    given: str
    store: Store
    file: str | None = None
    told: dict[str, str | None] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    alone: bool = False
    beside: str = ""

    @cached_property
    def listing(self) -> tuple[File, ...]:
        """The files of the place that are data, in order of path, with the digests that are remembered of them."""
        if not self.alone or self.file is None:
            return tuple(with_remembered(self.store, self._all()))
        found = [wire.wait(self.store.stat(self.file))]
        if self.beside:
            with contextlib.suppress(FileMissing):
                found.append(wire.wait(self.store.stat(self.beside)))
        return tuple(sorted(found, key=lambda file: file.path))

    def _all(self) -> Iterator[File]:
        for file in self.store.list():
            if not is_record(file.path):
                if self.empty and file.path.startswith(self.empty[-1]):
                    self.empty.pop()  # S3 names a directory, and then what is in it
                if file.path.endswith("/"):
                    self.empty.append(file.path)
                else:
                    yield file

    def left_out(self, used: Container[str], why: str) -> Iterator[str]:
        """What there is to say of the files of the place that are not among those that were used."""
        data = (file.path for file in self.listing if file.path != DATASET and not set_aside(file.path))
        rest = [path for path in data if path not in used]
        if rest:
            yield f"{counted(len(rest), 'file')} left out, {why}: {rest[0]}{' for one' * (len(rest) > 1)}"


@dataclass(frozen=True, slots=True)
class Wish:
    """How something is to be converted: see `visprep.convert`. What was not asked for is None, False or empty.

    `history` says how the places were made that are taken: see `ancestors`.
    """

    to: str
    lossless: bool = False
    image_root: str | None = None
    strip_root: str | None = None
    classes: ClassMap | None = None
    merge: tuple[str, ...] = ()
    renumber: bool = False
    max_side: int | None = None
    quality: int | None = None
    window: int | None = None
    prompt: str | None = None
    task: str | None = None
    shard_size: int | None = None
    shard_tasks: int | None = None
    jobs: int | None = None
    s3: S3Settings | None = None
    progress: OnProgress = unheard
    engine: Engine = field(default_factory=Local)
    history: Mapping[str, object] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, object]:
        """What shapes the result, for the step of `dataset.json`."""
        names = (
            "to",
            "image_root",
            "strip_root",
            "renumber",
            "max_side",
            "quality",
            "window",
            "prompt",
            "task",
            "shard_size",
            "shard_tasks",
        )
        found = {name: value for name in names if (value := getattr(self, name))}
        if self.classes is not None:
            found["classes"] = list(self.classes.lines)
        if self.merge:  # where they lie is one machine's
            found["merge"] = [one.rpartition("/")[2] for one in self.merge]
        return found


@dataclass(frozen=True, slots=True)
class Failed:
    """A file that could not be made, or a record that could not be converted: `reason` is the slug of the error."""

    path: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ConvertResult:
    """What a conversion did.

    `kind` is what `origin` was recognized as. `files` were written, of which `linked` are hard links and `copied` are
    copies of the origin's, and `kept` were there already. `images` counts those of each split, `boxes` is what came of
    their boxes. `losses` counts, by what is lost or was not told, the records that lack it, and `findings` say the same
    with an example of each; `notes` say what else there is to know. `refused`: nothing was written, because something
    would be lost and nothing was to be. `temporary` is how many bytes of drafts lay in the temporary directory, where
    the target is on S3: all documents, and the largest shard. `failed` are files that are not there, 10,000 at most,
    and why.
    """

    origin: str
    target: str
    to: str
    kind: str
    files: int = 0
    linked: int = 0
    copied: int = 0
    kept: int = 0
    images: dict[str, int] = field(default_factory=dict)
    boxes: dict[str, Converted] = field(default_factory=dict)
    losses: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    refused: bool = False
    temporary: int = 0
    failed: tuple[Failed, ...] = ()


class Losses:
    """What a format cannot carry: of each field how many records have it, and one of these as an example.

    A field is named with dots, as `annotations.segmentation.counts`; a list in between adds nothing to the name.
    """

    def __init__(self, to: str) -> None:
        self._to = to
        self.counts: Counter[str] = Counter()
        self._examples: dict[str, tuple[str, str, dict[str, object]]] = {}

    def __bool__(self) -> bool:
        return bool(self.counts)

    def lost(self, name: str, path: str, example: str, records: int = 1, **where: object) -> None:
        """So many records more lose a field; `path` is the file of one, `example` names it, as "annotation 7"."""
        if records:
            self.counts[name] += records
            self._examples.setdefault(name, (path, example, where))

    def findings(self) -> Iterator[Finding]:
        """A finding of each field, sorted by its name."""
        for name, count in sorted(self.counts.items()):
            path, example, where = self._examples[name]
            words = f"{name}: {self._to} cannot carry it; {counted(count, 'record')} lost it, {example} for one"
            yield FIELD_LOST.at(path, words, field=name, count=count, **where)


class Lossy(VisprepError):
    """Something would be lost, and nothing was to be: raised before anything is written, and told as a result."""

    slug = "lossy"

    def __init__(self, losses: Losses) -> None:
        super().__init__("something would be lost")
        self.losses = losses


class PartlyConverted(Incomplete):
    """Some files failed; `result` is what came of the rest."""

    result: ConvertResult | None = None

    @classmethod
    def of(cls, failures: Iterable[tuple[str, VisprepError]], wanted: int) -> Self:
        """See `Incomplete.of`. What is wrong in the origin stays so however often the command is run."""
        problem = super().of(failures, wanted)
        if problem.hint == AGAIN and any(isinstance(one, (WrongContent, UnsafePath)) for _, one in problem.failures):
            problem.hint = f"mend what is named there, or take it away; then {AGAIN}"
        return problem

    def having(self, result: ConvertResult) -> Self:
        """The same error with what came of the rest."""
        failed = tuple(Failed(path, error.slug, error.message) for path, error in self.failures)
        self.result = replace(result, failed=failed)
        return self


class Converter(Protocol):
    """Converts what was recognized to one format."""

    def __call__(self, origin: Origin, target: Store, wish: Wish) -> ConvertResult:
        """Make or complete `target`; errors as `convert` says, and Lossy."""
        ...
