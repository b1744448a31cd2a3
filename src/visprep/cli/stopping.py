"""What is said when Ctrl-C or SIGTERM ends a command: whether it goes on, and what is kept until then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from visprep.cli.application import GROUPS

#: Of commands that only look: there is nothing to go on with.
LOOKED = "nothing was changed"
_FETCHED = "finished files stay, and are not fetched again"
_SENT = "what was sent stays, and is not sent again"
_WRITTEN = "a file that was there stays as it is, and none is half written"

#: What is kept of each command that can be gone on with, or begun again.
KEPT: Mapping[str, str] = {
    "convert": "finished files stay, and are not made again",
    "demo": "what it made stays, and it walks the whole road again",
    "download": _FETCHED,
    "export-metadata": _WRITTEN,
    "fix": "it finishes what was begun; --undo takes back what was put aside",
    "gather": "each step goes on where it was: finished files stay, and are not fetched again",
    "leaks": f"{LOOKED}; fingerprints are remembered in .visprep/cache/ of a place that has it",
    "publish": "readers see the version before, or this one whole; what was sent is not sent again",
    "rebuild": f"with --output, {_FETCHED}; --check begins anew",
    "report": _WRITTEN,
    "runs pull": _FETCHED,
    "runs push": _SENT,
    "runs tensorboard": _FETCHED,
    "split": "finished files stay, and none is half written",
    "sync": "what was copied stays, and is not copied again",
    "upload": _SENT,
    "verify": f"{LOOKED}; what a long verify found is remembered for a week, and not looked into again",
}

#: Commands that end so when all is well, too, or that are as fast the next time.
READING = ("diff", "doctor", "explain", "ls", "runs list", "runs logs", "runs show", "sources", "stats", "status")


def farewell(words: Sequence[str]) -> Iterator[str]:
    """The lines, for the words of a command line."""
    command = " ".join(words[: 2 if words and words[0] in GROUPS else 1])
    if command in READING or "--dry-run" in words:
        yield f"visprep: interrupted; {LOOKED}"
        return
    yield "visprep: interrupted; run the same command again to go on"
    if command in KEPT:
        yield f"hint: {KEPT[command]}"
    if any(word.startswith("--apply") for word in words):
        yield "hint: if it finds that a place changed since, make a new plan: only a directory notes what it did"
