"""Listing a prefix of S3: in slices that are asked for at the same time, given out as one list in order of key.

S3 gives 1,000 keys an answer, and each answer names the next. A slice begins anywhere, though (`start-after`). So
from the keys of a page is guessed where the following pages begin, and they are asked for at once. A wrong guess
costs a request, never a key: every slice ends where the next begins, wherever that is.
"""

from __future__ import annotations

import bisect
import logging
import operator
import string
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from visprep.errors import PlaceMissing, ServerFailed, VisprepError
from visprep.manifest import File, order
from visprep.stores import s3_answers
from visprep.stores.s3_answers import Page
from visprep.wire import run, wait

if TYPE_CHECKING:
    from visprep.stores.s3 import S3Store

log = logging.getLogger("visprep.stores.s3")

#: Slices that are asked for at the same time: as many as answers take longer than reading them, within these bounds.
_FEWEST, _MOST = 2, 16
#: Pages that one slice, and all together, may hold before somebody takes them.
_AHEAD, _HELD = 3, 32
#: How full a page shall be that a guess gives; what goes beyond its slice is read in vain.
_FULL = 0.9
#: Characters of a key that a guess counts with.
_PRECISION = 12
_UPPER = string.ascii_uppercase
_ALPHABETS = ("0123456789", "0123456789abcdef", "0123456789ABCDEF", f"-.0123456789{_UPPER}_{_UPPER.lower()}")


def files(store: S3Store, cuts: Sequence[str] = (), *, digests: bool = True) -> Iterator[File]:
    """See `S3Store.list`."""
    listing = _Listing(store, cuts, digests)
    last, empty = "", True
    opaque: bool | None = None
    for page in listing.pages():
        if not page.files:
            continue
        empty = False
        if opaque is None and digests:
            opaque = wait(_opaque(store, page))
        # The marker of the prefix itself is no file of it
        found = page.files if page.files[0].path else page.files[1:]
        last = _in_order(store, found, last)
        yield from (replace(file, digest=None) for file in found) if opaque else found
    if empty:
        what = f"there is nothing under {store.place}/" if store.prefix else f"the bucket {store.bucket} is empty"
        raise PlaceMissing(what, hint="check the name; `visprep ls` of the prefix above shows what there is")


def _in_order(store: S3Store, found: list[File], last: str) -> str:
    """The last path of a page that follows on `last`."""
    paths = [last, *(file.path for file in found)]
    if not all(map(operator.lt, paths, paths[1:])):
        raw = [order(path) for path in paths]  # what is no Unicode sorts by its bytes
        wrong = next((at for at in range(1, len(raw)) if raw[at - 1] >= raw[at]), None)
        if wrong is not None:
            raise ServerFailed(f"{store.place}: the server lists {paths[wrong]!r} out of order")
    return paths[-1]


async def _opaque(store: S3Store, page: Page) -> bool | None:
    """Whether the ETags here only look like MD5s, None when this page cannot show it.

    That is so for objects encrypted with KMS, and a listing does not tell which are: one of them is asked.
    """
    sample = next((file for file in page.files if file.digest and file.path), None)
    if sample is None:
        return None
    try:
        return s3_answers.etag_is_opaque((await store.ask("s3:GetObject", "HEAD", sample.path)).headers)
    except VisprepError:  # it was listed, which is all that a listing needs
        return False


@dataclass(eq=False, slots=True)
class _Slice:
    """The paths after `start` up to and with `end`; without `end`, all that follow. `guess` is what it comes from."""

    start: str | None
    end: str | None
    guess: int = 0
    token: str | None = None
    pages: deque[Page] = field(default_factory=deque)
    busy: bool = False
    done: bool = False


class _Listing:
    """One listing: its slices from left to right, the first being the one that is given out at the moment."""

    def __init__(self, store: S3Store, cuts: Sequence[str], digests: bool) -> None:
        self._store, self._digests = store, digests
        self._root = f"{store.prefix}/" if store.prefix else ""
        self._cuts = sorted(cut for cut in set(cuts) if _fit(cut))
        self._slices = deque([_Slice(None, None)])
        self._news = False
        self._given: str | None = None
        # How many slices are worth asking for at once: as the guesses prove right, and as answers are slow
        self._trust = 8.0
        self._guesses = self._wrong = 0
        self._slowest, self._reading = 1.0, 0.001

    def pages(self) -> Iterator[Page]:
        """All pages in order of key; before the second one is wanted, only the first is asked for."""
        if not self._cuts:
            wait(self._go(self._slices[0], 1))
            yield from self._ready()
        else:
            self._divide(self._slices[0], self._cuts[: _MOST - 1])
        try:
            for _, outcome in run(self._jobs(), 4 * _MOST):
                if isinstance(outcome, VisprepError):
                    raise outcome
                yield from self._ready()
        except _StartIgnored:
            log.info("%s: the server does not know start-after; one page is asked for after the other", self._store)
            yield from self._one_by_one()

    def _ready(self) -> Iterator[Page]:
        """What can be given out now; slices of which all was given out are dropped."""
        while self._slices:
            first = self._slices[0]
            while first.pages:
                page = first.pages.popleft()
                self._given = page.files[-1].path if page.files else self._given
                yield page
            if not first.done or first.busy:
                return
            self._slices.popleft()

    def _jobs(self) -> Iterator[tuple[_Slice | None, Any] | None]:
        """For `run`: a job for every slice that may be asked for more, and one that only ends when a page came."""
        while self._slices:
            waiting = self._next()
            if waiting:
                waiting.busy = True
                yield waiting, self._go(waiting, _AHEAD)
            elif self._news:
                self._news = False
                yield None, _nothing()
            else:
                yield None

    def _next(self) -> _Slice | None:
        """The next slice to work on. The first one may always: all else waits for it."""
        at_work = held = 0
        for one in self._slices:
            at_work, held = at_work + one.busy, held + len(one.pages)
        for one in self._slices:
            first = one is self._slices[0]
            if one.busy or one.done or len(one.pages) >= (1 if first else _AHEAD):
                continue
            return one if first or (at_work < self._width and held + at_work < _HELD) else None
        return None

    @property
    def _width(self) -> int:
        return max(_FEWEST, min(_MOST, 1 + round(self._slowest / self._reading)))

    async def _go(self, part: _Slice, most: int) -> None:
        """Ask for pages of a slice until it is done, or holds so many that others come first."""
        try:
            while not part.done:
                begun = time.monotonic()
                response = await self._store.ask("s3:ListBucket", "GET", query=self._query(part))
                came = time.monotonic()
                page = s3_answers.listing(response, self._root, digests=self._digests)
                self._slowest = min(self._slowest, came - begun)
                self._reading += (max(time.monotonic() - came, 0.0001) - self._reading) / 4
                self._take(part, page)
                if len(part.pages) >= most:
                    return
        finally:
            part.busy = False

    def _query(self, part: _Slice) -> dict[str, str]:
        query = {"list-type": "2", "encoding-type": "url", "max-keys": str(self._store.page_size)}
        query["prefix"] = self._root
        if part.token is not None:
            query["continuation-token"] = part.token
        elif part.start is not None:
            query["start-after"] = self._root + part.start
        return query

    def _take(self, part: _Slice, page: Page) -> None:
        """Add a page to its slice, learn from it, and divide what is left."""
        found, guessed = page.files, part.token is None and part.start is not None
        if guessed and found and part.start is not None and found[0].sort_key <= order(part.start):
            raise _StartIgnored
        mine = len(found)
        if part.end is not None:
            mine = bisect.bisect_right(found, order(part.end), key=lambda file: file.sort_key)
        part.pages.append(Page(found[:mine], page.token))
        part.token, self._news = page.token, True
        part.done = page.token is None or mine < len(found)
        if page.token is None:
            self._skip(found[-1].path if found else part.start or "", None)
        elif guessed and found and not mine:
            self._skip(part.start or "", found[0].path)
        if not guessed:
            self._trust = min(_MOST, self._trust + 0.25)
        elif found and 2 * mine >= len(found):
            self._trust = min(_MOST, self._trust * 2)
        elif found and part.guess > self._wrong:  # of one wrong guess, many slices may learn
            self._trust, self._wrong = max(1.0, self._trust / 2), self._guesses
        if not part.done and found:
            free = min(self._width, int(self._trust)) - sum(not one.done and not one.pages for one in self._slices)
            self._divide(part, self._ahead(part, found, free))

    def _skip(self, after: str, before: str | None) -> None:
        """Leave out the slices that nobody asked for yet, and that lie where nothing is."""
        for one in self._slices:
            if one.start is None or one.token is not None or one.busy or order(one.start) < order(after):
                continue
            if before is None or (one.end is not None and order(one.end) < order(before)):
                one.done = True

    def _ahead(self, part: _Slice, found: list[File], count: int) -> list[str]:
        """Where to cut what is left of a slice after the page `found`: at hints where there are any, else by guess."""
        if count < 1:
            return []
        first, last, end = found[0].path, found[-1].path, part.end
        at = bisect.bisect_right(self._cuts, last)
        step = max(1, int((at - bisect.bisect_left(self._cuts, first)) * _FULL))  # they may lie closer than pages
        hints = self._cuts[at + step - 1 : at + step * count : step]
        for cuts in (hints, guess([file.path for file in found], count)):
            inside = [cut for cut in cuts if order(cut) > order(last) and (end is None or cut < end)]
            if inside:
                return inside
        return []

    def _divide(self, part: _Slice, cuts: list[str]) -> None:
        """Let a slice end at the first of the cuts, with a new one after each of them."""
        at = self._slices.index(part) + 1
        self._guesses += 1
        for cut in reversed(cuts):
            self._slices.insert(at, _Slice(cut, part.end, guess=self._guesses))
            part.end = cut

    def _one_by_one(self) -> Iterator[Page]:
        """All over again, by tokens alone, without what was given out already."""
        whole, given = _Slice(None, None), order(self._given or "")
        self._slices = deque([whole])
        self._trust = -1e9  # nothing is guessed any more
        while not whole.done:
            wait(self._go(whole, 1))
            page = whole.pages.popleft()
            seen = bisect.bisect_right(page.files, given, key=lambda file: file.sort_key) if given else 0
            yield Page(page.files[seen:], page.token)


class _StartIgnored(Exception):
    """The server answers a request for what follows a key with keys before it."""


async def _nothing() -> None:
    """A job that only gives the caller of `run` his turn."""


def _fit(cut: str) -> bool:
    """Whether S3 takes a text as a key; what XML cannot hold is left out, since servers repeat it."""
    return cut.isprintable() and 0 < len(cut.encode("utf-8", "replace")) <= 512


def guess(paths: list[str], count: int) -> list[str]:
    """Up to `count` keys, in order, at which the pages after that of these sorted paths might begin.

    What differs among the paths is read as a fraction in base 10, 16 or more, as its characters allow, and the
    distance of the first to the last is added over and over.
    """
    size, last = len(paths), paths[-1]
    # A page may begin in one directory and end in the next, of which its last part tells more
    windows = [paths[at:] for at in (0, size // 2, size * 3 // 4, size * 7 // 8) if at < size - 1]
    stems = [_stem(window) for window in windows]
    if not stems:
        return []
    at = max(range(len(stems)), key=lambda index: len(stems[index][0]))
    (stem, alphabet), first = stems[at], windows[at][0]
    low, high = (_number(path[len(stem) :], alphabet) for path in (first, last))
    step = (high - low) * _FULL * size / len(windows[at])
    values = (high + int(step * number) for number in range(1, count + 1))
    cuts = [stem + _digits(value, alphabet) for value in values if high < value < len(alphabet) ** _PRECISION]
    return [cut for cut in cuts if _fit(cut)]


def _stem(paths: list[str]) -> tuple[str, str]:
    """What paths have in common, up to the number or name that differs, and the alphabet of the latter."""
    last = paths[-1]
    first = paths[0]
    same = next((at for at in range(len(first)) if at == len(last) or first[at] != last[at]), len(first))
    sample = [*paths[:: max(1, len(paths) // 32)], last]
    varying = set("".join(_word(path, same) for path in sample))
    alphabet = next((one for one in _ALPHABETS if varying <= set(one)), _ALPHABETS[-1])
    least = max(0, same - _PRECISION // 2)
    while same > least and alphabet is not _ALPHABETS[-1] and last[same - 1] in alphabet:
        same -= 1
    return last[:same], alphabet


def _word(path: str, at: int) -> str:
    """The letters and digits of a path from a position on."""
    end = at
    while end < min(len(path), at + _PRECISION) and path[end].isalnum():
        end += 1
    return path[at:end]


def _number(text: str, alphabet: str) -> int:
    """The beginning of a text as a number; a character that the alphabet lacks counts as the one below it."""
    value = 0
    for at in range(_PRECISION):
        digit = bisect.bisect_right(alphabet, text[at]) - 1 if at < len(text) else 0
        value = value * len(alphabet) + max(digit, 0)
    return value


def _digits(value: int, alphabet: str) -> str:
    text = ""
    for _ in range(_PRECISION):
        value, digit = divmod(value, len(alphabet))
        text = alphabet[digit] + text
    return text.rstrip(alphabet[0])
