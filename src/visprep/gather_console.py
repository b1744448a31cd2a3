"""What people see of gathering: what each step did, the records of each part, and where they are."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from visprep.console import Screen, out, out_json, plain, tell
from visprep.copies_console import show_download
from visprep.render.text import as_text, totals
from visprep.split_console import as_plain, show_split

if TYPE_CHECKING:
    from visprep._gather import GatherResult


def show_gather(shown: Screen, result: GatherResult, *, as_json: bool) -> None:
    """What gather did: in words to stderr, what verify and split found to stdout; or all as JSON to stdout."""
    if as_json:
        out_json(_document(result))
        return
    if result.download:
        show_download(shown, result.download, as_json=False)
    if result.report and result.stopped == "verify":
        for piece in as_text(result.report, f"visprep verify {result.output} --format json --report FILE"):
            out(piece)
    elif result.report:
        shown.say(f"{result.output}: verified, {totals(result.report).strip()}")
    if result.split:
        show_split(shown, result.split, as_json=False)
    if result.stopped:
        tell(f"visprep: {result.stopped} found {_fault(result)}, and gather stopped there")
        tell(f"hint: {'; '.join(_remedies(result))}")
    elif result.idle:
        shown.say("nothing to do: all was there, and nothing was written")


def _fault(result: GatherResult) -> str:
    """What it was that stopped it."""
    if result.stopped == "verify" and result.report and not result.report.failed:
        return "annotations without images"
    return "what could not be looked at" if result.unread else "errors"


def _remedies(result: GatherResult) -> Iterator[str]:
    """What to do about what stopped it, and the command to go on with after that."""
    from visprep._gather import is_unfinished
    from visprep.own_record import MARKER
    from visprep.rules.image_files import BAD

    report, then = result.report, ""
    if result.stopped == "verify" and report:
        if is_unfinished(report):
            yield f"finish the command that was begun there, or remove {MARKER} there if it will never be finished"
            then = "then, "
        if result.unread:
            yield "see to what could not be read"
            then = "then, "
        elif then:
            pass
        elif not result.go_on:
            yield "download brings anew what was moved away; what was changed on purpose, visprep split takes as it is"
        elif report.format == "coco" and any(one.code in BAD for one in report.findings):
            fix = shlex.join(["visprep", "fix", result.output, "--how", "refetch"])
            yield f"{fix} mends images, and --clean leaves out what is wrong"
    elif not result.go_on:
        yield "leaving out records does not mend it: see to what is told above, and run the same command again"
    if result.go_on:
        yield f"{then}to go on: {result.go_on}"


def _document(result: GatherResult) -> dict[str, Any]:
    """All of it as plain data, but for who is in which part, which split.json says."""
    from visprep.render.json import plain_finding

    report, made = result.report, result.split
    return {
        "source": result.source,
        "output": result.output,
        "splits": result.splits,
        "download": plain(result.download) if result.download else None,
        "verify": {
            "depth": report.depth,
            "checked": dict(report.checked),
            "counts": report.counts,
            "findings": [plain_finding(one) for one in report.findings],
        }
        if report
        else None,
        "split": as_plain(made) if made else None,
        "parts": result.counts,
        "files": result.files,
        "nothing_to_do": result.idle,
        "stopped": result.stopped,
        "go_on": result.go_on,
    }
