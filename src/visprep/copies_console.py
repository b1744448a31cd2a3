"""What people see of copies: the operations of a plan, the question before files are deleted, and differences."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from visprep.console import out, plain, size, tell
from visprep.errors import UsageError

if TYPE_CHECKING:
    from visprep._diff import FileDifference
    from visprep.plans import Operation


def show_operation(operation: Operation) -> None:
    """One operation of a plan, to stdout: what, where, why."""
    from visprep.render.text import printable

    amount, path = size(operation.file.size or 0), printable(operation.file.path)
    out(f"{operation.action:8}{amount:>10}  {path}  ({operation.reason})\n")


def asking(deletes: bool, yes: bool) -> Callable[[int], bool]:
    """What asks before files are deleted; UsageError at once when nobody can be asked."""
    if deletes and not yes and not (sys.stdin and sys.stdin.isatty()):
        raise UsageError("--delete asks before it deletes, and nobody can be asked here", hint="say --yes")

    def ask(count: int) -> bool:
        import typer

        return yes or typer.confirm(f"Delete {count:,} files?", err=True)

    return ask


def show_differences(differences: Iterable[FileDifference], *, as_json: bool) -> bool:
    """How two places differ, to stdout as it is found out; whether they do."""
    from visprep.render.text import printable

    counts = {"removed": 0, "added": 0, "changed": 0}
    marks = {"removed": "-", "added": "+", "changed": "!"}
    if as_json:
        out('{"format_version": 1, "differences": [')
    for one in differences:
        if as_json:
            out(("," if any(counts.values()) else "") + "\n" + json.dumps(plain(one)))
        else:
            sizes = " -> ".join(size(amount) for amount in (one.size_a, one.size_b) if amount is not None)
            out(f"{marks[one.change]} {printable(one.path)}  ({sizes})\n")
        counts[one.change] += 1
    if as_json:
        out(f'],\n"counts": {json.dumps(counts)}}}\n')
    elif not any(counts.values()):
        tell("no differences")
    else:
        tell(", ".join(f"{count:,} {name}" for name, count in counts.items()))
    return any(counts.values())
