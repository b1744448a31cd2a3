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
    "The id of a task does not have the form that the layout gives it.",
    "Tools that count through ids, or cut a dataset into shards by them, do not find the task.",
    "number the tasks as the layout does, or verify with another --layout",
    bad="shapes_0000 under layout vbvr, where an id ends in 8 digits.",
    near="shapes_7 under layout template, where ids may be anything.",
)
TASK_ID_GAP = Rule(
    "task-id-gap",
    Level.NOTE,
    Depth.NAMES,
    "The ids of a domain count up, and some numbers are left out.",
    "Tasks may have got lost. Sources that skip a row leave its number out too, so it need be nobody's fault.",
    "compare with the origin; ignore this where tasks were left out on purpose",
    bad="t0, t1, t3 and t4.",
    near="t0, t2, t5 and t9: a selection, of which more is missing than there is.",
)
TASK_ID_REPEATED = Rule(
    "task-id-repeated",
    Level.ERROR,
    Depth.NAMES,
    "Two tasks of one domain have the same id, but for case or the way letters are composed; the same domain below "
    "another parent, such as a split, is another.",
    "On disks that fold case one overwrites the other; anything counted by id counts wrong.",
    "rename one of them, or delete it",
    bad="maze_task/t0 and maze_task/T0.",
    near="train/maze_task/t0 and test/maze_task/t0: every split counts for itself.",
)

RULES: tuple[Rule, ...] = (TASK_ID_FORM, TASK_ID_GAP, TASK_ID_REPEATED)

#: No more digits than a number of 64 bits has: longer ones are hashes.
_COUNTED = re.compile(r"((?:.*[^0-9])?)([0-9]{1,18})")


def identity(directory: TaskDirectory) -> tuple[str, str]:
    """What must be unique for every task: where its domain stands and what it is called, and its id, as folded names.

    Above domains there may be splits, or generators: each has ids of its own.
    """
    return _folded(directory.home), _folded(directory.id)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def check(directories: Iterable[TaskDirectory], layout: Layout) -> Iterator[Finding]:
    """What is wrong with the ids of all tasks of a place; tasks that are in no domain are passed over."""
    placed = [directory for directory in directories if directory.domain is not None]
    yield from _repeated(placed)
    domains: dict[str, list[TaskDirectory]] = defaultdict(list)
    for directory in placed:
        domains[directory.home].append(directory)
    for home, tasks in domains.items():
        yield from _misformed(tasks, layout)
        yield from _gaps(home, tasks)


def _repeated(directories: Iterable[TaskDirectory]) -> Iterator[Finding]:
    first: dict[tuple[str, str], TaskDirectory] = {}
    for directory in directories:
        other = first.setdefault(identity(directory), directory)
        if other is not directory:
            yield TASK_ID_REPEATED.at(
                directory.path or ".",
                f"the id {directory.id!r} of domain {directory.domain!r} is taken by {other.path or '.'}",
                first=other.path or ".",
            )


def _misformed(tasks: list[TaskDirectory], layout: Layout) -> Iterator[Finding]:
    """A finding for each id that has another form than the layout's: of one for all, a baseline would hide new ones."""
    if layout.id_digits is None:
        return
    form = re.compile(rf"{re.escape(tasks[0].domain or '')}_[0-9]{{{layout.id_digits}}}")
    for task in tasks:
        if not form.fullmatch(task.id):
            wanted = f"{task.domain}_ and {layout.id_digits} digits"
            yield TASK_ID_FORM.at(task.path or ".", f"the id {task.id!r} is not {wanted}")


def _gaps(home: str, tasks: list[TaskDirectory]) -> Iterator[Finding]:
    """A finding for each gap in a row of ids in which fewer numbers are left out than are there.

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
            ends = _span(lead, numbers[0], numbers[-1], widths[numbers[0]])
            for before, after in itertools.pairwise(numbers):
                if after > before + 1:
                    gap = _span(lead, before + 1, after - 1, widths[before])
                    message = f"among the {len(numbers)} ids from {ends} is no {gap}"
                    yield TASK_ID_GAP.at(home, message, id=gap, count=after - before - 1)


def _span(lead: str, first: int, last: int, width: int) -> str:
    """`t03`, or `t03 to t07`."""
    return " to ".join(f"{lead}{number:0{width}}" for number in dict.fromkeys((first, last)))
