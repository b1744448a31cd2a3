"""Which findings are asked for: by code and path (`--select`, `--ignore`), or by the files that changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from visprep.errors import UnknownName, did_you_mean
from visprep.findings import Finding
from visprep.manifest import RECORD_DIR


@dataclass(frozen=True, slots=True)
class Pattern:
    """`CODE` or `CODE:GLOB`: the findings of a code, everywhere or on some files.

    A glob is held against the path relative to the place: `*`, `?` and `[...]` match `/` too, and a glob that matches
    a directory matches all that is below. One without `/` may match at any level.
    """

    code: str
    glob: str | None = None

    def covers(self, finding: Finding) -> bool:
        """Whether a finding is one of these."""
        if finding.code != self.code or self.glob is None:
            return finding.code == self.code
        glob = self.glob.rstrip("/")
        candidates = [finding.path, *_above(finding.path)]
        if "/" not in glob:
            candidates += finding.path.split("/")
        return any(fnmatchcase(candidate, glob) for candidate in candidates)


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked for: `select` (empty: everything) without `ignore`."""

    select: tuple[Pattern, ...] = ()
    ignore: tuple[Pattern, ...] = ()

    def admits(self, finding: Finding) -> bool:
        """Whether a finding is asked for.

        One that says that something was not looked at is, unless it is ignored by name: nobody knows what else that
        would have given.
        """
        if any(pattern.covers(finding) for pattern in self.ignore):
            return False
        return not self.select or finding.unseen or any(pattern.covers(finding) for pattern in self.select)

    def names(self, code: str) -> bool:
        """Whether findings of a code were selected by name."""
        return any(pattern.code == code for pattern in self.select)

    def looks_for(self, code: str) -> bool:
        """Whether findings of a code may be among those asked for."""
        ignored = any(pattern.code == code and pattern.glob is None for pattern in self.ignore)
        return not ignored and (not self.select or any(pattern.code == code for pattern in self.select))


def selection(select: Sequence[str], ignore: Sequence[str], codes: Collection[str]) -> Selection:
    """The selection that is written down as `CODE` or `CODE:GLOB`; UnknownName for what is not among `codes`."""
    return Selection(_patterns(select, codes), _patterns(ignore, codes))


def _patterns(texts: Sequence[str], codes: Collection[str]) -> tuple[Pattern, ...]:
    return tuple(_pattern(text, codes) for text in ([texts] if isinstance(texts, str) else texts))


def _pattern(text: str, codes: Collection[str]) -> Pattern:
    code, _, glob = text.partition(":")
    if code not in codes:
        raise UnknownName(f"no finding has the code {code!r}", hint=did_you_mean(code, sorted(codes)))
    return Pattern(code, glob or None)


class Scope:
    """The part of a place that is asked about: all of it, or what changed.

    What changed are files, directories with all that is below them, and whole records that hold something of that: a
    fault between two files of a record shows on the one, though it was the other that changed. `records` are the
    paths of all records' directories.
    """

    def __init__(self, changed: Iterable[str] | None, records: Iterable[str]) -> None:
        self.whole = changed is None
        self._named = frozenset(changed or ())
        self._changed = {above for path in self._named for above in (path, *_above(path))}
        self._records = {record or "." for record in records} & self._changed

    def holds(self, path: str) -> bool:
        """Whether a file or directory is asked about: a directory is when anything in it changed."""
        path = path or "."
        if self.whole or path in self._changed or path in self._records:
            return True
        return any(above in self._records or above in self._named for above in _above(path))

    def covers(self, finding: Finding) -> bool:
        """Whether a finding is about what is asked about, by its path or by another that `where` names.

        One about the place's own record always is: that says whether anything else can be trusted.
        """
        if finding.path.startswith(f"{RECORD_DIR}/"):
            return True
        others = (value for value in finding.where.values() if isinstance(value, str))
        return self.holds(finding.path) or any(map(self.holds, others))


def _above(path: str) -> Iterator[str]:
    """The directories that a path is in, the nearest first; the last is `.`, the place itself."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
    yield "."
