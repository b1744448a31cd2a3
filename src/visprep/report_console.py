"""What people see of `report` itself: where the page is, and what is on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from visprep import console
from visprep.render.text import counted

if TYPE_CHECKING:
    from visprep._report import ReportResult


def show_page(made: ReportResult, *, as_json: bool) -> None:
    """What was made, to stdout: a line, or JSON."""
    if as_json:
        console.out_json(console.plain(made))
        return
    shown = f"{made.shown:,} of {made.records:,} records, {console.size(made.bytes)}"
    told = ", ".join(counted(count, level) for level, count in made.findings.items() if count)
    told = told or ("no findings" if made.findings else "verify has no rules for it")
    pairs = f", {counted(made.pairs, 'pair')} alike" if made.pairs else ""
    console.out_line(f"{made.output}: {shown}; {told}{pairs}")
