"""What people see: progress and talk on stderr, data on stdout, errors in words."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visprep.amounts import size as size

if TYPE_CHECKING:
    from visprep._doctor import Checkup
    from visprep._explain import Page
    from visprep._status import Status
    from visprep.bars import Bars, Lines
    from visprep.errors import VisprepError
    from visprep.findings import Report
    from visprep.manifest import File
    from visprep.progress import OnProgress, Progress
    from visprep.sources import SourceSummary


class Screen:
    """Where one command speaks: `quiet` keeps everything but data and errors back."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self._drawing: Bars | Lines | None = None

    def say(self, message: str) -> None:
        """Talk, to stderr."""
        if not self.quiet:
            tell(message)

    @property
    def progress(self) -> OnProgress:
        """A listener for the library: bars on a terminal, a line now and then elsewhere."""
        return self._ignore if self.quiet else self._advance

    def _ignore(self, progress: Progress) -> None:
        pass

    def _advance(self, progress: Progress) -> None:
        if self._drawing is None:
            from visprep.bars import drawing

            self._drawing = drawing(tell)
        self._drawing.show(progress)

    def close(self) -> None:
        """Leave the terminal as it should be."""
        if self._drawing:
            self._drawing.close()


@contextmanager
def screen(*, quiet: bool, verbose: int, log: Path | None) -> Iterator[Screen]:
    """A screen for one command, with the log lines that were asked for going to stderr and to `log`."""
    shown = Screen(quiet=quiet)
    with contextlib.ExitStack() as stack:
        if verbose or log:
            from visprep.logs import logging_to

            stack.enter_context(logging_to(verbose, log))
        stack.callback(shown.close)
        yield shown


def out(text: str) -> None:
    """Data, to stdout; DiskError when it takes no more, BrokenPipeError when nobody reads it any more."""
    with _stdout():
        sys.stdout.write(text)


def prepare() -> None:
    """Make the standard streams fit for use: there even when the caller closed them, and able to show any name."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 -- as long as the process
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def finish() -> None:
    """Send on what of the data is still held back. Left to the interpreter, a failure would be no error of ours."""
    with _stdout():
        sys.stdout.flush()


def silence() -> None:
    """Drop all that is, or will be, written to stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _stdout() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        from visprep.errors import DiskError

        silence()
        raise DiskError(
            f"standard output: {(error.strerror or str(error)).lower()}", hint="write it elsewhere, or make room"
        ) from None


def out_json(document: dict[str, Any]) -> None:
    """Data for machines, to stdout, with the version of its format."""
    import json

    out(json.dumps({"format_version": 1, **document}, indent=2, ensure_ascii=False) + "\n")


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """A table, to stdout: as wide as the terminal where there is one, as wide as it needs elsewhere."""
    from rich.console import Console

    from visprep import columns

    with _stdout():
        width = None if sys.stdout.isatty() else 200
        # What stands in a cell is shown as it is: `[torch]` is no style, and `:cat:` no picture
        console = Console(file=sys.stdout, width=width, markup=False, emoji=False, highlight=False)
        columns.show(console, tuple(headings), [tuple(row) for row in rows])


def error(problem: VisprepError) -> None:
    """An error in words: what went wrong, its slug, and what to type next."""
    with contextlib.suppress(BrokenPipeError):  # nobody reads it any more, and the exit code says it too
        _error(problem)


def _error(problem: VisprepError) -> None:
    tell(f"visprep: {problem.message} [{problem.slug}]")
    if problem.hint:
        tell(f"hint: {problem.hint}")


def tell(line: str) -> None:
    """Talk, to stderr, a line that smuggles nothing in; when nobody reads it any more, the exit code must do."""
    from visprep.render.text import printable

    with contextlib.suppress(OSError):
        print(printable(line), file=sys.stderr)  # noqa: T201


def out_line(line: str) -> None:
    """A line for people, to stdout: what is in a file's name moves no cursor, and begins no line of its own."""
    from visprep.render.text import printable

    out(f"{printable(line)}\n")


def plain(value: Any) -> dict[str, Any]:
    """A result of the library as plain data."""
    from dataclasses import asdict

    return asdict(value)


def show_sources(summaries: list[SourceSummary], *, as_json: bool) -> None:
    """The sources, to stdout: a table, or JSON."""
    if as_json:
        out_json({"sources": [plain(summary) for summary in summaries]})
        return
    table(("Source", "Splits (records)", "Configs", "License", "What"), map(_source_row, summaries))


def _source_row(summary: SourceSummary) -> tuple[str, ...]:
    splits = ", ".join(
        f"{split} ({summary.counts[split]:,})" if split in summary.counts else split for split in summary.splits
    )
    return summary.name, splits, ", ".join(summary.configs) or "-", summary.license, summary.title


def show_report(report: Report, format: str, file: Path | None = None) -> None:
    """A report, to stdout; with `file` in words to stdout, and in `format` to the file, whole or not at all."""
    from visprep.errors import UsageError
    from visprep.render import RENDERERS

    if report.dry_run and format not in ("text", "json"):
        raise UsageError(f"a dry run finds nothing to report as {format}", hint="use --format text or json")
    for piece in RENDERERS["text" if file else format](report):
        (out_beside if file else out)(piece)
    if file:
        write_whole(file, RENDERERS[format](report))


def check_writable(file: Path | None) -> Path | None:
    """`file` itself; UsageError or DiskError when it cannot be, which is better known before the work than after."""
    from visprep.errors import DiskError, UsageError

    if file and file.parts[0] == "s3:":  # as a path has it, with one slash
        typed = f"s3://{'/'.join(file.parts[1:])}"
        raise UsageError(f"{typed}: this can only be written to a disk", hint="name a file, and upload it after")
    if file and os.path.isdir(file):  # noqa: PTH112 -- never raises
        raise DiskError(f"{file}: this is a directory", hint="name a file in it")
    if file and not os.path.isdir(file.parent):  # noqa: PTH112
        raise DiskError(f"{file}: there is no directory {file.parent}", hint="make it, or choose another FILE")
    return file


def report_format(format: str, as_json: bool, report: Path | None, baseline: Path | None, place: str) -> str:
    """As `one_format`; UsageError also when both files are one: the report would forget what the baseline knows.

    WouldOverwrite when the report would replace a file of `place`, which is looked at, that is no earlier report.
    """
    from visprep.errors import UsageError, WouldOverwrite
    from visprep.render import is_report

    if report and baseline and os.path.realpath(report) == os.path.realpath(baseline):
        raise UsageError(
            f"{report}: --report would write over the file that --baseline reads, and forget what it knows",
            hint="choose another FILE for the report; for a new baseline, leave out --baseline",
        )
    if report and _lies_in(report, place) and os.path.isfile(report) and not is_report(report):  # noqa: PTH113
        hint = "choose another FILE for the report"
        raise WouldOverwrite(f"{report}: it is a file of {place}, which is looked at", paths=(str(report),), hint=hint)
    return one_format(format, as_json)


def check_outside(file: Path | None, *places: str) -> None:
    """UsageError when `file` is one of these places or lies in one: they are only read, and what is there stays."""
    from visprep.errors import UsageError

    for place in places:
        if file and _lies_in(file, place):
            same = os.path.realpath(file) == os.path.realpath(place)
            lies = "it is what is compared" if same else f"it lies in {place}, which is compared"
            raise UsageError(f"{file}: {lies}", hint="choose another FILE, outside of both places")


def _lies_in(file: Path, place: str) -> bool:
    where, root = os.path.realpath(file), "" if "://" in place else os.path.realpath(place)
    return bool(root) and (where == root or where.startswith(os.path.join(root, "")))  # noqa: PTH118 -- "/" stays one


def one_format(format: str, as_json: bool) -> str:
    """The format that was asked for: `--json` is `--format json`; UsageError beside any other but text."""
    from visprep.errors import UsageError

    if as_json and format not in ("text", "json"):
        raise UsageError(f"--json and --format {format}: it is one or the other", hint="leave out one of the two")
    return "json" if as_json else format


def out_beside(text: str) -> None:
    """Words to stdout beside a report that goes to a file: it is made also when nobody reads these any more."""
    try:
        out(text)
        finish()  # at the end, the failure would be that of the whole command
    except BrokenPipeError:
        silence()


def write_whole(file: Path, pieces: Iterable[str]) -> None:
    """Text to a file, as `whole_files.write` does it, or straight into a pipe or a device, as /dev/stderr is one."""
    from visprep import whole_files
    from visprep.errors import DiskError

    if os.path.isfile(file) or not os.path.exists(file):  # noqa: PTH110, PTH113 -- never raises
        whole_files.write(file, pieces)
        return
    try:
        with file.open("w", encoding="utf-8", errors="replace", newline="\n") as written:
            written.writelines(pieces)
    except OSError as error:
        raise DiskError(f"{file}: {(error.strerror or str(error)).lower()}", hint="choose another FILE") from None


def show_files(files: Iterable[File], *, as_json: bool, summarize: bool) -> None:
    """A listing, to stdout, as it comes."""
    if as_json:
        listed = [{key: value for key, value in plain(file).items() if value is not None} for file in files]
        out_json({"files": listed, "bytes": sum(file.get("size", 0) for file in listed)})
        return
    count = total = 0
    for file in files:
        out_line(f"{file.size if file.size is not None else '?':>12}  {file.path}")
        count, total = count + 1, total + (file.size or 0)
    if summarize:
        from visprep.render.text import counted

        out(f"{counted(count, 'file')}, {size(total)}\n")


def show_pages(pages: tuple[Page, ...], *, as_json: bool, in_full: bool) -> None:
    """Pages of codes, to stdout: whole, or one line each."""
    if as_json:
        out_json({"pages": [{key: value for key, value in plain(page).items() if value is not None} for page in pages]})
        return
    width = max((len(page.code) for page in pages), default=0)
    for page in pages:
        if in_full:
            facts = f"exit code {page.exit_code}" if page.level is None else f"{page.level}, from depth {page.depth}"
            out(f"{page.code} ({page.kind}, {facts})\n  {page.what}\n  why: {page.why}\n  fix: {page.fix}\n")
            out(f"  bad: {page.bad}\n  not bad: {page.near}\n" if page.bad else "")
        else:
            out(f"{_filled(f'{page.code:<{width}} {page.kind:<8} {page.what}', width + 10)}\n")


def _filled(line: str, indent: int) -> str:
    """A line, on a terminal as several that break no word, all but the first of them indented."""
    if not sys.stdout.isatty():
        return line
    import shutil
    import textwrap

    width = shutil.get_terminal_size().columns
    margin = " " * (indent if indent < width // 2 else 2)
    return textwrap.fill(line, width, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False)


def show_status(status: Status, *, as_json: bool) -> None:
    """How far a place is, to stdout."""
    if as_json:
        out_json(plain(status))
        return
    for line in _status_lines(status):
        out_line(line)


def _status_lines(status: Status) -> Iterator[str]:
    from visprep.render.text import counted

    yield f"{status.place}: {status.state}" + (", a command is at it now" if status.running else "")
    if status.state == "unrecorded" and not status.failed:
        yield f"  visprep keeps no record here; visprep verify {shlex.quote(status.place)} checks what there is"
    if status.version:
        yield f"  published: version {status.version} counts"
    for step in status.steps:
        counts = ", ".join(f"{count:,} {name}" for name, count in step.counts.items())
        yield f"  done: {step.command} {step.source}, {step.date}" + (f" ({counts})" if counts else "")
    if status.files is not None:
        yield f"  done: {counted(status.files, 'file')} in the manifest, {size(status.bytes or 0)}"
    for one in status.failed:
        yield f"  failed: {one.path}: {one.message} [{one.reason}] ({one.command})"
    if status.state == "unfinished":
        begun = f"{status.begun.command} {status.begun.source}" if status.begun else "a command"
        finished = status.finished
        done = "" if finished is None else f", {counted(finished, 'file')} {'is' if finished == 1 else 'are'} finished"
        yield f"  left: '{begun}' was begun and not ended{done}"
        yield f"  to go on: {status.go_on or 'run the same command again'}"
    elif status.failed:
        yield "  to go on: run the same command again"


def show_checkup(checkup: Checkup, *, as_json: bool) -> None:
    """What doctor looked at, to stdout, a line each."""
    if as_json:
        out_json({**plain(checkup), "usable": checkup.usable})
        return
    for check in (*checkup.machine, *checkup.place_checks):
        out_line(f"{check.level:<8} {check.name}: {check.message}")
        if check.hint:
            out_line(f"{'':<8}   {check.hint}")
