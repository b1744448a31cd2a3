"""Patterns of paths, as the cards of datasets on the hub use them and the `datasets` library reads them.

`*` and `?` stand for letters of one name, `**` for anything, `**/` for any folders or none, `[a-c]` and `[!a-c]` for
one letter. A card is written by anyone, so none of them may take long.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from visprep.errors import SourceError

#: What ends the name of a table that we can read.
PARQUET = ".parquet"
_WILDCARD = re.compile(r"(\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\])")
#: Wildcards in one pattern; nobody needs so many.
_MOST_WILDCARDS = 64


def is_pattern(text: str) -> bool:
    """Whether a card's text may mean several paths."""
    return _WILDCARD.search(text) is not None


def matching(paths: Collection[str], pattern: str) -> list[str]:
    """Those of `paths` that are meant, in their order; see `matches`."""
    if not is_pattern(pattern):
        return [pattern] if pattern in paths else []
    return [path for path in paths if matches(path, pattern)]


def matches(path: str, pattern: str) -> bool:
    """Whether a path is meant: by its name, or by a pattern, which means parquet files that are not hidden.

    However a pattern is made, this takes no longer than its length times that of the path; SourceError for one with
    more than 64 wildcards.
    """
    lead, *parts = _WILDCARD.split(pattern)
    if not parts:
        return path == pattern
    if len(parts) > 2 * _MOST_WILDCARDS:
        raise SourceError(f"a card lists data files by a pattern of {len(parts) // 2:,} wildcards")
    tail = parts.pop()
    if len(path) < len(lead) + len(tail) or not (path.startswith(lead) and path.endswith(tail)):
        return False
    if not path.endswith(PARQUET) or _hidden(path) > _hidden(pattern):
        return False
    return _fits(path[len(lead) : len(path) - len(tail)], _steps(parts))


class _Step(NamedTuple):
    """One step through a path: the letters that it takes, whether it then stays, and where one may go without any."""

    takes: Callable[[str], bool]
    stays: bool = False
    onward: tuple[int, ...] = ()


def _steps(parts: Iterable[str]) -> list[_Step]:
    """Wildcards, and the letters between them, as steps."""
    steps: list[_Step] = []
    for part in parts:
        if part == "**/":  # either nothing, or anything up to a slash
            steps += [_Step(_none, onward=(1, 3)), _Step(_any, stays=True, onward=(1,)), _Step("/".__eq__)]
        elif part in ("*", "**"):
            steps.append(_Step(_any if part == "**" else _in_name, stays=True, onward=(1,)))
        elif part == "?":
            steps.append(_Step(_in_name))
        elif _WILDCARD.fullmatch(part):
            steps.append(_Step(_class(part)))
        else:
            steps += [_Step(letter.__eq__) for letter in part]
    return steps


def _none(_: str) -> bool:
    return False


def _any(_: str) -> bool:
    return True


def _in_name(letter: str) -> bool:
    return letter != "/"


def _class(part: str) -> Callable[[str], bool]:
    """What `[0-9]` or `[!x]` takes. Ranges that run backwards, and what stands in no alphabet, take nothing."""
    inside = part[2:-1] if part.startswith("[!") else part[1:-1]
    letters, ranges, at = set(), [], 0
    while at < len(inside):
        if inside[at + 1 : at + 2] == "-" and at + 2 < len(inside):
            ranges.append((inside[at], inside[at + 2]))
            at += 3
        else:
            letters.add(inside[at])
            at += 1

    def inside_it(letter: str) -> bool:
        return letter in letters or any(first <= letter <= last for first, last in ranges)

    def outside_it(letter: str) -> bool:
        return letter != "/" and not inside_it(letter)

    return outside_it if part.startswith("[!") else inside_it


def _fits(path: str, steps: list[_Step]) -> bool:
    """Whether the steps lead through all of `path`: all ways at once, so that none is tried twice."""
    at = _reached([0], steps)
    for letter in path:
        taking = [number for number in at if number < len(steps) and steps[number].takes(letter)]
        at = _reached([number if steps[number].stays else number + 1 for number in taking], steps)
        if not at:
            return False
    return len(steps) in at


def _reached(numbers: list[int], steps: list[_Step]) -> set[int]:
    """The steps that these lead to without taking a letter, themselves too."""
    found: set[int] = set()
    while numbers:
        number = numbers.pop()
        if number not in found:
            found.add(number)
            numbers += [number + further for further in steps[number].onward] if number < len(steps) else []
    return found


def _hidden(path: str) -> int:
    """How many parts of a path are hidden: nobody means those who does not name them."""
    *folders, name = path.split("/")
    return sum(part.startswith((".", "__")) for part in folders) + name.startswith(".")
