"""Which annotation files of two places are compared with which, and how they differ."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from visprep.differences import NotCompared, RecordDifference
from visprep.differences.coco import Compared
from visprep.differences.coco_alone import Pool, alone
from visprep.differences.coco_side import Document, Side
from visprep.errors import WrongContent
from visprep.formats.coco_json import JsonFile
from visprep.formats.coco_place import KIND, PLAIN, annotation_files, split_of
from visprep.manifest import File
from visprep.progress import OnProgress, Progress, unheard
from visprep.stores import Store

#: JSON files of other names into whose beginning is looked.
_TRIED = 20


@dataclass(frozen=True, slots=True)
class FilePair:
    """An annotation file on both sides; None where a side has none."""

    a: JsonFile | None
    b: JsonFile | None

    @property
    def path(self) -> str:
        """What it is called: in A, if it is there."""
        there = self.a or self.b
        assert there  # one of them is
        return there.name


def found(paths_a: Collection[str], paths_b: Collection[str], left: Store, right: Store) -> list[list[FilePair]]:
    """The annotation files among some that differ, in pairs, and these by what they tell of images: boxes first.

    Of the rest, files of the same kind and split are a pair, and at last the only ones of their kind.
    """
    listings = [[File(path) for path in sorted(paths)] for paths in (paths_a, paths_b)]
    sides = annotation_files(left, listings[0], _TRIED), annotation_files(right, listings[1], _TRIED)
    pairs: list[tuple[str | None, str | None]] = [(path, path) for path in sides[0] if path in sides[1]]
    rest = [[path for path in one if path not in other] for one, other in (sides, sides[::-1])]
    for alike in (lambda path: (_kind(path), split_of(path).name), _kind):
        pairs += _single(rest, alike)
    pairs += [(path, None) for path in rest[0]] + [(None, path) for path in rest[1]]
    kinds: dict[str, list[FilePair]] = {}
    for a, b in sorted(pairs, key=lambda pair: pair[0] or pair[1] or ""):
        pair = FilePair(JsonFile(left, a) if a else None, JsonFile(right, b) if b else None)
        kinds.setdefault(_kind(a or b or ""), []).append(pair)
    return [kinds[kind] for kind in sorted(kinds, key=lambda kind: (kind != PLAIN, kind))]


def same(paths: Collection[str], store: Store) -> list[JsonFile]:
    """The annotation files among some that are the same in both places."""
    listing = [File(path) for path in sorted(paths)]
    return [JsonFile(store, path) for path in annotation_files(store, listing, _TRIED)]


def differences(
    pools: Sequence[Sequence[FilePair]],
    least: float,
    moves: bool,
    same: Callable[[], Iterable[JsonFile]] = tuple,
    progress: OnProgress = unheard,
) -> Iterator[RecordDifference]:
    """How annotation files differ, kind by kind; `NotCompared` for what cannot be read as such.

    `same` gives the annotation files that are the same in both places: asked when an image seems to be new or gone.
    """
    read: list[tuple[list[NotCompared], Pool]] = []
    for done, pairs in enumerate(pools, 1):
        progress(Progress("Reading annotations", done, len(pools), "kinds"))
        read.append(_read(pairs))
    lone = alone([pool for _, pool in read], same)
    moved: set[tuple[str, str, str]] | None = set() if moves else None
    for done, one in enumerate(lone, 1):
        progress(Progress("Comparing annotations", done, len(pools), "kinds"))
        unread, pool = read.pop(0)  # what was told needs no memory
        yield from unread
        yield from Compared(pool, one, least, moved).differences()


def _read(pairs: Sequence[FilePair]) -> tuple[list[NotCompared], Pool]:
    """The annotation files of one kind, and those that are none."""
    left: list[Document] = []
    right: list[Document] = []
    unread = []
    for number, pair in enumerate(pairs):
        try:
            a, b = (Document.read(pair.path, number, one) if one else None for one in (pair.a, pair.b))
        except WrongContent as problem:
            unread.append(NotCompared("not-compared", pair.path, problem.message))
            continue
        left += [a] if a else []
        right += [b] if b else []
    return unread, Pool(Side(left), Side(right))


def _kind(path: str) -> str:
    """What a file tells of images, by its name: `instances`, `captions` and so on."""
    known = KIND.search(path.rpartition("/")[2].removesuffix(".json"))
    return known[1] if known else PLAIN


def _single(rest: list[list[str]], alike: Callable[[str], object]) -> Iterator[tuple[str, str]]:
    """Pairs of those left of which each side has one; they are taken out of `rest`."""
    groups: list[Mapping[object, list[str]]] = []
    for paths in rest:
        found: dict[object, list[str]] = {}
        for path in paths:
            found.setdefault(alike(path), []).append(path)
        groups.append(found)
    for key, (first, *more) in groups[0].items():
        others = groups[1].get(key, [])
        if not more and len(others) == 1:
            rest[0].remove(first)
            rest[1].remove(others[0])
            yield first, others[0]
