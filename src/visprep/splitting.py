"""Which record of a set goes into which part: what is left out, what belongs together, and what moved since before."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from visprep.earlier_split import REST, Earlier, moves, otherwise
from visprep.engines import Engine
from visprep.errors import UnknownContent, UsageError, WrongContent
from visprep.findings import Finding
from visprep.partition import (
    LEFT_OUT,
    Assignment,
    Balance,
    Groups,
    Method,
    Parts,
    Population,
    assign,
    join,
    measure,
)
from visprep.placing import placing
from visprep.progress import OnProgress, unheard
from visprep.record_duplicates import RecordDuplicates, Some, duplicate_records
from visprep.recordsets import Cleaning, Ints, Mask, RecordSet
from visprep.render.text import counted
from visprep.rules.leaks import IMAGE_NOT_COMPARED, IMAGES_CROWDED, in_words
from visprep.rules.splits import CLASS_ABSENT_FROM_PART, CLASS_UNEVEN, LEAK_ACROSS_PARTS, PART_EMPTY
from visprep.split_file import SPLIT, Left, LeftOut, Move, Split
from visprep.split_naming import called
from visprep.split_wish import Wish
from visprep.stores import Store

#: Why a record is in no part, where it is no fault of it.
EMPTY = "no-annotations"
#: New records that tie parts together, and are told by name.
_TOLD = 5
#: Records from which on a class is to be spread evenly, and how many percentage points it may be off then.
_COMMON, _OFF = 200, 1.0


class Blameless(Exception):
    """Cleaning met errors that leaving out records does not mend."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__(f"{len(findings)} errors")
        self.findings = findings


class Splitting:
    """One set of records, split as wished; Blameless when it cannot be cleaned.

    UsageError, WrongContent and UnknownContent for wishes and records that do not go together, or cannot be split.
    """

    def __init__(
        self,
        records: RecordSet,
        wish: Wish,
        *,
        holder: Store | None = None,
        engine: Engine | None = None,
        progress: OnProgress = unheard,
    ) -> None:
        self.records, self.wish, self._holder, self._progress = records, wish, holder, progress
        self._engine = engine
        #: Why each record that is in no part is left out, by number
        self.left: dict[int, str] = {}
        self.cleaning = self._clean()
        self.keys = self._keys()
        self.duplicates: RecordDuplicates | None = None
        if wish.near_duplicates:
            self.duplicates = duplicate_records(
                records, len(self.keys), holder=holder, jobs=wish.jobs, engine=engine, progress=progress
            )
            if not self.duplicates.images:
                raise UsageError(
                    "--near-duplicates: none of the pictures is here",
                    hint="leave it out, or bring them to where they belong: train2017/ beside annotations/",
                )
        #: The numbers of the records that are to be divided, in the order of the population
        self.rows: Ints = np.array([one for one in range(len(self.keys)) if one not in self.left], np.int64)
        self.values = records.values(wish.group_by) if wish.group_by else ()
        #: Which records belong together by their pictures
        self._ties = [(pair.first, pair.second) for pair in self.duplicates.pairs] if self.duplicates else []
        #: Records that tied two parts together, and are left out
        self._apart = set[int]()
        self._groups_of_all: Ints
        self.population: Population
        self.parts: Parts
        self.assignment = self._assign()
        self.balance = measure(self.population, self.parts, self.assignment)

    # What is left out

    def _clean(self) -> Cleaning:
        if not self.wish.clean:
            return Cleaning()
        found = self.records.clean(jobs=self.wish.jobs, engine=self._engine, progress=self._progress)
        if found.blameless:
            raise Blameless(found.blameless)
        self.left.update(found.records)
        return found

    def _keys(self) -> tuple[str, ...]:
        keys = self.records.keys
        if self.wish.drop_empty:
            for number in np.flatnonzero(self.records.empty()).tolist():
                self.left.setdefault(number, EMPTY)
        seen: dict[str, int] = {}
        for number, key in enumerate(keys):
            if number in self.left:
                continue
            if not key or key in seen:
                raise self._unnamed(key, [*([seen[key]] if key else []), number])
            seen[key] = number
        if not seen:
            told = ", ".join(f"{why} ({count:,})" for why, count in Counter(self.left.values()).most_common())
            inputs = [one.path for one in self.records.inputs]
            raise UnknownContent(
                f"{', '.join(inputs)}: {f'no record is left: {told}' if told else 'there are no records'}",
                hint=f"{self._verify(inputs)} says what is wrong" if told else "name a file, or a place, that has some",
            )
        return keys

    def _unnamed(self, key: str, numbers: Sequence[int]) -> WrongContent:
        """The error of a record without a name, or of two with one."""
        origins = [self.records.origin(number) for number in numbers]
        where = [one.file if one.row is None else f"{one.file} /images/{one.row}" for one in origins]
        words = f"both are called {key!r}" if key else "it has no name"
        files = list(dict.fromkeys(one.file for one in origins))
        if len(files) > 1 and self.records.kind != "coco":  # with which verify finds nothing wrong
            above = ", " + _above(files) if not any("://" in file for file in files) else ""
            hint = f"name the directory above both{above}, where their paths differ; or rename one of the two"
        elif self.wish.clean:
            hint = "rename one of the two, or name only one of their files; --clean has nothing against either"
        else:
            hint = f"--clean leaves out what is wrong; {self._verify(files)} says all of it"
        return WrongContent(f"{' and '.join(where)}: {words}", hint=hint)

    def _verify(self, places: Sequence[str]) -> str:
        """The command that says what is wrong with places."""
        return "; ".join(shlex.join(["visprep", "verify", place]) for place in places)

    # What belongs together

    def _population(self) -> Population:
        keys = tuple(self.keys[row] for row in self.rows.tolist())
        place = np.full(len(self.keys), LEFT_OUT, np.int64)
        place[self.rows] = np.arange(len(self.rows))
        having = self.records.having
        having = np.column_stack([place[having[:, 0]], having[:, 1]])
        having = having[having[:, 0] != LEFT_OUT]
        every = self.records.names
        # Hashed by what stays the same when another input comes that has a record of that name
        names = tuple(every[row] for row in self.rows.tolist())
        return Population.of(keys, self.records.classes, having, self._groups(names), names)

    def _groups(self, keys: tuple[str, ...]) -> Groups | None:
        if not (self.values or self.duplicates):
            return None
        # By way of a record that is left out others belong together all the same, unless it is left out for that
        ties = np.array(self._ties, np.int64).reshape(-1, 2)
        values = [None if row in self._apart else value for row, value in enumerate(self.values)]
        self._groups_of_all = join(self.keys, ties, values).numbers
        numbers = self._groups_of_all[self.rows]
        _, firsts, inverse = np.unique(numbers, return_index=True, return_inverse=True)
        ties = np.column_stack([firsts[inverse], np.arange(len(keys))])
        own = [self.values[row] for row in self.rows.tolist()] if self.values else ()
        return join(keys, ties[ties[:, 0] != ties[:, 1]], own)

    # Who goes where

    def _assign(self) -> Assignment:
        """The parts of records; with cleaning those that tie two parts together are left out, and all is drawn anew."""
        wish = self.wish
        while True:
            self.population = self._population()
            self.parts, placed = placing(self.records, self.rows, wish)
            found = assign(
                self.population, self.parts, method=wish.method, seed=wish.seed, stratify=wish.stratify, placed=placed
            )
            if not (wish.clean and found.tying.any()):
                return found
            together = self.rows[np.isin(self.population.groups, found.torn)]
            tying = self.rows[found.tying]
            self.left.update(dict.fromkeys(tying.tolist(), LEAK_ACROSS_PARTS.code))
            self.rows = self.rows[~found.tying]
            self._untie(together, set(tying.tolist()))

    def _untie(self, together: Ints, tying: set[int]) -> None:
        """Join anew what belongs together, of groups that were torn, without the records that tied them."""
        self._apart |= tying
        if self.duplicates is None:
            return
        torn = np.isin(self._groups_of_all, self._groups_of_all[together])
        rest = set(np.flatnonzero(torn).tolist()) - self._apart
        again = duplicate_records(
            Some(self.records, rest),
            len(self.keys),
            holder=self._holder,
            jobs=self.wish.jobs,
            engine=self._engine,
            progress=self._progress,
        )
        others = [pair for pair in self._ties if not torn[pair[0]]]
        self._ties = [*others, *((pair.first, pair.second) for pair in again.pairs)]

    # What came of it

    @property
    def together(self) -> int:
        """How many groups have several of the records that are divided."""
        divided = self.population.groups[self.assignment.parts != LEFT_OUT]
        return int((np.bincount(divided) > 1).sum()) if len(divided) else 0

    @property
    def tying(self) -> tuple[str, ...]:
        """The keys of the records that are not bound to their part, and tie it to another, sorted."""
        return tuple(sorted(self.population.keys[at] for at in np.flatnonzero(self.assignment.tying).tolist()))

    @property
    def ungrouped(self) -> int:
        """How many of the records that are divided lack the field that they are grouped by."""
        return sum(self.values[row] is None for row in self.rows.tolist()) if self.values else 0

    @property
    def crowded(self) -> int:
        """How many pictures were compared with some only of those that are near to them in looks."""
        return self.duplicates.crowded if self.duplicates else 0

    @cached_property
    def unseen(self) -> tuple[str, ...]:
        """The keys of the records that should have been compared, and none of whose pictures is there."""
        if self.duplicates is None:
            return ()
        seen = {one.record for one in self.duplicates.unread}
        rows = (row for row in self.rows.tolist() if row not in seen and not self.duplicates.digests[row])
        return tuple(self.keys[row] for row in rows if row not in self.left)

    @cached_property
    def members(self) -> Mapping[str, Mask]:
        """The records of each part, as a mask over all that the set has."""
        found: dict[str, Mask] = {}
        for number, name in enumerate(self.parts.names):
            found[name] = np.zeros(len(self.keys), np.bool_)
            found[name][self.rows[self.assignment.parts == number]] = True
        return found

    @cached_property
    def part_of(self) -> Mapping[int, str | None]:
        """The part of each record that is not left out for a fault, by number; None for those of the rest."""
        names = (*self.parts.names, None)  # LEFT_OUT is -1
        return dict(zip(self.rows.tolist(), (names[one] for one in self.assignment.parts.tolist()), strict=True))

    @cached_property
    def absent(self) -> Mapping[str, tuple[str, ...]]:
        """Of each part the keys that the split to extend had placed there, and that are in no part now, sorted."""
        if (before := self.wish.extends) is None:
            return {}
        here = Earlier(before, self.records, self.rows.tolist()).numbers()
        found: dict[str, list[str]] = {}
        for key, part in before.placed().items():
            if key not in here:
                found.setdefault(part, []).append(key)
        return {part: tuple(sorted(found[part])) for part in self.parts.names if part in found}

    def has(self, before: Split) -> bool:
        """Whether more than half of the records of a split are here."""
        here = Earlier(before, self.records, range(len(self.keys)))
        return 2 * sum(bool(here.candidates(key)) for key in before.part_of()) > len(before.part_of())

    def notes(self) -> Iterator[str]:
        """What of the wish does less than one may think, and who of the new records ties parts together."""
        wish = self.wish
        if wish.stratify and not wish.stratified and self.records.classes:
            yield "--stratify changes nothing with --method stable, which looks at one record at a time"
        if wish.extends and (others := otherwise(wish.extends, wish)):
            told = ", ".join(f"--{name}" for name in others)
            yield f"the split to extend was made with other {told}: what is placed stays, and new records go by these"
        new = sorted(self.population.keys[at] for at in np.flatnonzero(self.assignment.tying).tolist())
        if new:
            more = f", and {len(new) - _TOLD:,} more" if len(new) > _TOLD else ""
            yield f"new, and of one group with records of different parts: {', '.join(new[:_TOLD])}{more}"

    def findings(self) -> Iterator[Finding]:
        """What is wrong with the split."""
        where = self.assignment.parts
        order = np.argsort(self.population.groups, kind="stable")
        torn = np.array(self.assignment.torn, np.int64)
        edges = np.searchsorted(self.population.groups[order], np.column_stack([torn, torn + 1]))
        for group, (first, last) in zip(torn.tolist(), edges.tolist(), strict=True):
            firsts: dict[str, str] = {}
            for at in order[first:last].tolist():
                if where[at] == LEFT_OUT:
                    continue
                name, key = self.parts.names[where[at]], self.population.keys[at]
                firsts[name] = min(key, firsts.get(name, key))
            told = ", ".join(f"{key} in {name}" for name, key in firsts.items())
            words = f"{told} belong together: {self._reason(group)}"
            yield LEAK_ACROSS_PARTS.at(min(firsts.values()), words, parts=list(firsts), kind="group")
        for unread in self.duplicates.unread if self.duplicates else ():
            if unread.record not in self.left:
                key = self.keys[unread.record]
                yield IMAGE_NOT_COMPARED.at(unread.file.path, f"{key} stands alone: {unread.error.message}", key=key)
        if alone := self.unseen:
            words = f"{counted(len(alone), 'record')} compared with none: no picture is there, as of {alone[0]}"
            yield IMAGE_NOT_COMPARED.at(SPLIT, words, key=alone[0], count=len(alone))
        if self.crowded:
            yield IMAGES_CROWDED.at(SPLIT, in_words(self.crowded), count=self.crowded)
        bare = set()
        for part, reached in zip(self.parts.parts, self.balance.reached.tolist(), strict=True):
            if part.size and not reached:
                bare.add(part.name)
                yield PART_EMPTY.at(SPLIT, f"no record is in {part.name}", field=part.name)
        for absent in self.balance.absent:
            if absent.part in bare:  # one fault is told once
                continue
            words = f"of {absent.count:,} records with {absent.label} none is in {absent.part}"
            yield CLASS_ABSENT_FROM_PART.at(SPLIT, words, key=absent.label, field=absent.part, count=absent.count)
        yield from self._uneven() if self.wish.stratified else ()

    def _uneven(self) -> Iterator[Finding]:
        """The common classes that could not be spread as evenly as was asked: each with its worst part."""
        balance = self.balance
        for row in np.flatnonzero(balance.counts >= _COMMON).tolist():
            part = int(abs(balance.errors[row]).argmax())
            if abs(error := float(balance.errors[row, part])) > _OFF and balance.per_class[row, part]:
                name, label, count = balance.names[part], balance.classes[row], int(balance.counts[row])
                share = balance.shares[part]
                words = f"of {count:,} records with {label} {share + error / 100:.1%} are in {name}, not {share:.1%}"
                yield CLASS_UNEVEN.at(SPLIT, words, key=label, field=name, count=count)

    def _reason(self, group: int) -> str:
        ways = []
        if self.values:
            ways.append(f"{self.wish.group_by} {self.population.group_keys[group]!r}")
        if self.duplicates:
            ways.append("copies of a picture, or alike")
        return ", or ".join(ways)

    def left_out(self) -> LeftOut:
        """What is in no part, and why."""
        rest = int(np.count_nonzero(self.assignment.parts == LEFT_OUT))
        records = dict(sorted(Counter(self.left.values()).items())) | ({REST: rest} if rest else {})
        # Of several that have one name, those that are left out are told by it all the same
        listed = []
        for number, why in sorted(self.left.items()):
            at = self.records.origin(number)
            listed.append(
                Left(why=why, key=self.keys[number] or None, file=called(at.file), image_id=at.image_id, row=at.row)
            )
        annotations = [*self.cleaning.annotations, *self.records.lost(self.left)]
        listed += [Left(why=why, file=called(file), annotation_id=id) for file, id, why in annotations]
        return LeftOut(
            records=records,
            annotations=dict(sorted(Counter(why for *_, why in annotations).items())),
            listed=tuple(listed),
        )

    def moved(self, before: Split | None) -> tuple[Move, ...]:
        """The records that are in another part than in the split before, or in none; nothing where none is in both."""
        if before is None or before.kind != self.records.kind:
            return ()
        exact = self.wish.drawn is Method.EXACT
        told = f"other {', '.join(others)}" if (others := otherwise(before, self.wish)) else ""
        told = told or ("exact parts are drawn anew" if exact else "its group is another")
        return moves(before, self.records, self.part_of, self.left, told)


def shares(balance: Balance) -> tuple[float | None, ...]:
    """What each part has of the records that were divided; None where there were none."""
    return tuple(round(count / balance.records, 6) if balance.records else None for count in balance.reached.tolist())


def _above(places: Sequence[str]) -> str:
    """The directory that all places lie in, named like the first of them."""
    found = os.path.commonpath([os.path.abspath(place) for place in places])  # noqa: PTH100 -- links stay what they are
    return found if os.path.isabs(places[0]) else os.path.relpath(found)  # noqa: PTH117 -- it is text
