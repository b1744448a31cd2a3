"""Rows of text on a terminal: as a table where no word is broken in it, else one cell below the other."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

#: Blanks between two columns, and those before the cells of a row that stand below each other.
_GAP, _INDENT = 2, 2
#: A cell that says nothing; below each other, it is left out.
_NOTHING = ("", "-")


def show(console: Console, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The rows, as wide as the console at most; only a word that is wider than that is broken."""
    widths = _widths([headings, *rows], console.width)
    if widths is None:
        _below(console, headings, rows)
        return
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for heading, width in zip(headings, widths, strict=True):
        grid.add_column(heading, width=width)
    for row in rows:
        grid.add_row(*row)
    console.print(grid)


def _widths(rows: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """The width of each column, the widest of them made narrower until all fit; None where words would be broken."""
    columns = list(zip(*rows, strict=True))
    widths = [max(map(cell_len, column)) for column in columns]
    least = [max(cell_len(word) for cell in column for word in cell.split() or [""]) for column in columns]
    room -= _GAP * (len(columns) - 1)
    if sum(least) > room:
        return None
    while sum(widths) > room:
        widest = max((width, at) for at, width in enumerate(widths) if width > least[at])[1]
        widths[widest] -= 1
    return widths


def _below(console: Console, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Each row as its first cell, and below that the others with what they are."""
    for number, row in enumerate(rows):
        told = [(heading, cell) for heading, cell in zip(headings, row, strict=True) if cell not in _NOTHING]
        if number:
            console.print()
        console.print(row[0], style="bold")
        grid = Table.grid(padding=(0, _GAP, 0, 0), pad_edge=False)
        grid.add_column(no_wrap=True, min_width=_INDENT + max(map(cell_len, headings[1:]), default=0))
        grid.add_column(overflow="fold")
        for heading, cell in told[1:]:
            grid.add_row(f"{'':{_INDENT}}{heading}", cell)
        if len(told) > 1:
            console.print(grid)
