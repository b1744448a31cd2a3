"""The rules of ids: that the tasks of a domain can be told apart, and whether some seem to be missing."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator

from visprep.findings import Finding, Level
from visprep.formats.tasks import Layout, TaskDirectory
from visprep.rules import Depth, Rule

TASK_ID_FORM = Rule(
    "task-id-form",
    Level.WARNING,
    Depth.NAMES,
    "Ids of a domain do not have the form that the layout gives them.",
    "Tools that count through ids, or cut a dataset into shards by them, do not find those tasks.",
    "number the tasks as the layout does, or verify with another --layout",
)
TASK_ID_GAP = Rule(
    "task-id-gap",
    Level.NOTE,
    Depth.NAMES,
    "The ids of a domain count up, and some numbers are left out.",
    "Tasks may have got lost. Sources that skip a row leave its number out too, so it need be nobody's fault.",
    "compare with the origin; ignore this where tasks were left out on purpose",
)
TASK_ID_REPEATED = Rule(
    "task-id-repeated",
    Level.ERROR,
    Depth.NAMES,
    "Two directories of a domain have the same task id, but for case or the way their letters are composed.",
    "On disks that fold case one overwrites the other; anything counted by id counts wrong.",
    "rename one of them, or delete it",
)

RULES: tuple[Rule, ...] = (TASK_ID_FORM, TASK_ID_GAP, TASK_ID_REPEATED)

#: No more digits than a number of 64 bits has: longer ones are hashes.
_COUNTED = re.compile(r"(.*?)([0-9]{1,18})")


def identity(directory: TaskDirectory, layout: Layout) -> tuple[str, str, str]:
    """What must be unique for every task: generator, where the layout knows any, domain and id, as folded names."""
    generator = directory.generator if layout.generators else None
    return _folded(generator or ""), _folded(directory.domain or ""), _folded(directory.id)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def check(directories: Iterable[TaskDirectory], layout: Layout) -> Iterator[Finding]:
    """What is wrong with the ids of all tasks of a place; tasks that are in no domain are passed over."""
    placed = [directory for directory in directories if directory.domain is not None]
    yield from _repeated(placed, layout)
    domains: dict[str, list[TaskDirectory]] = defaultdict(list)
    for directory in placed:
        domains[directory.home].append(directory)
    for home, tasks in domains.items():
        yield from _misformed(home, tasks, layout)
        yield from _gaps(home, tasks)


def _repeated(directories: Iterable[TaskDirectory], layout: Layout) -> Iterator[Finding]:
    first: dict[tuple[str, str, str], TaskDirectory] = {}
    for directory in directories:
        other = first.setdefault(identity(directory, layout), directory)
        if other is not directory:
            yield TASK_ID_REPEATED.at(
                directory.path or ".",
                f"the id {directory.id!r} of domain {directory.domain!r} is taken by {other.path or '.'}",
                first=other.path or ".",
            )


def _misformed(home: str, tasks: list[TaskDirectory], layout: Layout) -> Iterator[Finding]:
    """One finding for all ids of a domain that have another form than the layout's."""
    if layout.id_digits is None:
        return
    form = re.compile(rf"{re.escape(tasks[0].domain or '')}_[0-9]{{{layout.id_digits}}}")
    others = [task.id for task in tasks if not form.fullmatch(task.id)]
    if others:
        wanted = f"{tasks[0].domain}_ and {layout.id_digits} digits"
        message = f"{len(others)} of {len(tasks)} ids are not {wanted}, the first is {others[0]!r}"
        yield TASK_ID_FORM.at(home, message, count=len(others), first=others[0])


def _gaps(home: str, tasks: list[TaskDirectory]) -> Iterator[Finding]:
    """One finding for each row of ids in which fewer numbers are left out than are there.

    Where more are left out, the tasks are a selection, or their numbers are no count at all.
    """
    rows: dict[str, dict[int, int]] = defaultdict(dict)
    for task in tasks:
        counted = _COUNTED.fullmatch(task.id)
        if counted:
            rows[counted[1]][int(counted[2])] = len(counted[2])
    for lead, widths in sorted(rows.items()):
        numbers = sorted(widths)
        missing = numbers[-1] - numbers[0] + 1 - len(numbers)
        if 0 < missing < len(numbers):
            before = next(one for one, after in itertools.pairwise(numbers) if after > one + 1)
            first = f"{lead}{before + 1:0{widths[before]}}"
            ends = " to ".join(f"{lead}{number:0{widths[number]}}" for number in (numbers[0], numbers[-1]))
            message = f"{missing} missing among {len(numbers)} ids from {ends}, the first is {first}"
            yield TASK_ID_GAP.at(home, message, count=missing, first=first)
