"""What people see of leaks: the parts, what is wrong, and what became of a certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from visprep.console import Screen, out, out_json, plain, size
from visprep.render.text import counted, heading, listing, printable, totals

if TYPE_CHECKING:
    from visprep._leaks import LeaksResult


def show_leaks(shown: Screen, result: LeaksResult, *, as_json: bool) -> None:
    """All of it, to stdout; what became of a certificate to stderr."""
    report = result.report
    if as_json:
        names = ("result", "leaks", "pairs", "bytes", "certificate", "checked", "crowded")
        told = {name: getattr(result, name) for name in names}
        parts, findings = ([plain(one) for one in many] for many in (result.parts, report.findings))
        out_json({"place": report.place, **told, "parts": parts, "counts": report.counts, "findings": findings})
        return
    out(heading(report))
    for part in result.parts:
        missed = f", {part.not_compared:,} of them not compared" if part.not_compared else ""
        out(f"  {printable(part.name)}: {counted(part.records, 'record')}, {counted(part.images, 'image')}{missed}\n")
    for line in listing(report.findings, "--json"):
        out(line)
    out(totals(report))
    if result.parts:
        shown.say(f"{result.pairs:,} pairs of images between parts, {size(result.bytes)}: {result.result}")
    if result.certificate:
        shown.say(f"{result.certificate}: certificate written, it says: {result.result}")
    if result.checked and not result.failed:
        shown.say(f"{result.checked}: what it says is still true")
