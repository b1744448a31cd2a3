"""Whether what was made, and what lies there, is what is recorded; and where not, which files differ."""

from __future__ import annotations

from collections.abc import Iterator

from visprep import wire
from visprep.engines.local import map_ordered
from visprep.errors import (
    FileMissing,
    Incomplete,
    NothingConverted,
    SourceError,
    SourceMissing,
    VisprepError,
    WouldOverwrite,
    WrongContent,
)
from visprep.known_files import known_files, memory_of
from visprep.manifest import DATASET, Change, Difference, File, diff
from visprep.metadata.written import describes
from visprep.own_record import Listed, unfinished
from visprep.rebuilding import Changed, FileApart, FileLying
from visprep.rebuilding.recorded import Recorded
from visprep.stores import Store, data_files
from visprep.stores.local import LocalStore

__all__ = ["apart", "astray", "changes", "is_whole", "not_of_it", "there"]

#: What upstream says when it has not what it had: an answer, where others are none.
_GONE = (SourceMissing, WrongContent, FileMissing, NothingConverted)
_NAMES = {Change.MISSING: "missing", Change.EXTRA: "extra"}


def is_whole(store: Store, jobs: int | None) -> bool:
    """Whether every file that a place lists lies there with the bytes that are listed.

    WouldOverwrite where another one lies there: no step would take it away, and what was made would not be the same.
    """
    listed = Listed.read(store)
    if listed is None or unfinished(store) is not None:
        return False
    unlike = [one for one in there(store, listed, jobs) if one.change is not Change.SAME]
    for one in unlike:
        if one.change is Change.EXTRA:
            raise not_of_it(store, one.path)
    return not unlike


def not_of_it(store: Store, path: str) -> WouldOverwrite:
    """The refusal of a place in which a file lies that is none of the dataset."""
    words = f"{store.place}: files lie there that are not of this dataset: {path}"
    return WouldOverwrite(words, paths=(path,), hint="choose another --output, or move them away")


def there(store: Store, listed: Listed, jobs: int | None) -> Iterator[Difference]:
    """The files that a place lists against those that lie there; what a store raises when one cannot be read.

    On disk all of them are read. Elsewhere a digest counts that is known without that; UNKNOWN where none is. What
    `export-metadata` wrote to the top of the place, after it was made, is not told.
    """

    def hashed(file: File) -> File | None:
        try:
            return File(file.path, file.size, wire.wait(store.hash(file.path, "sha256")))
        except FileMissing:  # a link that leads nowhere
            return None

    if isinstance(store, LocalStore):
        have: Iterator[File] = (file for file in map_ordered(hashed, data_files(store), jobs) if file)
    else:
        have = known_files(store, listed, memory_of(store, None, needed=False))
    found = diff(listed.files, (file for file in have if file.path != DATASET and not file.path.endswith("/")))
    return (one for one in found if one.want or one.have is None or not describes(store, one.have))


def astray(found: Difference) -> FileLying | None:
    """A file that does not lie there as it is recorded; None for one that does, or of which nobody knows."""
    if found.change in (Change.SAME, Change.UNKNOWN):
        return None
    sizes = [side.size if side else None for side in (found.want, found.have)]
    return FileLying(found.path, _NAMES.get(found.change, "changed"), *sizes)


def apart(recorded: Recorded, made: Store) -> Iterator[FileApart]:
    """The files that differ; none where the list of those that are recorded is not known."""
    listed = Listed.read(made)
    if recorded.listed is None or listed is None:
        return
    for one in diff(recorded.listed.files, listed.files):
        if one.change is not Change.SAME:
            sizes = [side.size if side else None for side in (one.want, one.have)]
            yield FileApart(one.path, _NAMES.get(one.change, "changed"), *sizes)


def changes(command: str, problem: VisprepError) -> tuple[Changed, ...]:
    """What upstream changed, by an error that a step ended in; nothing when it is not upstream that it speaks of."""
    if isinstance(problem, Incomplete):
        found = tuple(Changed(command, one.slug, one.message, path) for path, one in problem.failures)
        return found if all(isinstance(one, _GONE) for _, one in problem.failures) else ()
    group = problem.__cause__
    if type(problem) is SourceError and isinstance(group, ExceptionGroup):
        ended = [one for one in group.exceptions if isinstance(one, VisprepError)]
        return (
            (Changed(command, problem.slug, problem.message),) if all(isinstance(one, _GONE) for one in ended) else ()
        )
    return (Changed(command, problem.slug, problem.message),) if isinstance(problem, _GONE) else ()
