"""The command line: parse, call the library function of the same name, show, exit. Nothing is decided here."""

from __future__ import annotations

import atexit
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn, Optional

import typer

from visprep import configuration, console, errors
from visprep.options import (
    LAYOUT_HELP,
    DemoOutput,
    Depth,
    EndpointUrl,
    FailOn,
    Jobs,
    Json,
    Layout,
    Log,
    NoSignRequest,
    Output,
    Place,
    PlaceFormat,
    Profile,
    Quiet,
    Region,
    ReportFormat,
    Verbose,
    writable,
)

app = typer.Typer(
    name="visprep",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

FINDINGS, CANNOT, INTERRUPTED = 1, 3, 130
#: Seconds after which an interrupt that had no effect is raised again.
_INSIST = 0.25


@app.command()
def demo(output: DemoOutput = None, quiet: Quiet = False, verbose: Verbose = 0, log: Log = None) -> None:
    """Walk the whole road, offline, on the embedded sample."""
    import visprep

    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        result = visprep.demo(output, progress=screen.progress, say=screen.say)
        screen.close()
        console.table(("Step", "What was made", "Where"), result.rows)


@app.command()
def doctor(
    place: Annotated[Optional[str], typer.Argument(metavar="[PLACE]", help="A place to look at too.")] = None,  # noqa: UP045
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    log: Log = None,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    no_sign_request: NoSignRequest = False,
) -> None:
    """Check this machine, and a place: exit 3 when the place cannot be used."""
    import visprep

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    with console.screen(quiet=quiet, verbose=verbose, log=log):
        checkup = visprep.doctor(place, s3=s3)
    console.show_checkup(checkup, as_json=json)
    raise typer.Exit(0 if checkup.usable else CANNOT)


@app.command()
def sources(json: Json = False, quiet: Quiet = False, verbose: Verbose = 0, log: Log = None) -> None:
    """List what can be downloaded: splits, counts, licenses."""
    import visprep

    with console.screen(quiet=quiet, verbose=verbose, log=log):
        console.show_sources(visprep.list_sources(), as_json=json)


@app.command()
def download(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A source (`visprep sources`) or a place.")],
    output: Output = None,
    split: Annotated[str, typer.Option("--split", metavar="S[,S]", help="Upstream's splits.")] = "",
    limit: Annotated[Optional[int], typer.Option("--limit", metavar="N", help="Tasks of each split.")] = None,  # noqa: UP045
    config: Annotated[str, typer.Option("--config", metavar="NAME[,NAME]", help="Upstream's configs.")] = "",
    layout: Layout = "template",
    revision: Annotated[Optional[str], typer.Option("--revision", metavar="REV", help="Upstream's commit.")] = None,  # noqa: UP045
    map: Annotated[
        str, typer.Option("--map", metavar="FIELD=COLUMN[,...]", help="Which column is what, for hf: sources.")
    ] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files of others too.")] = False,
    jobs: Jobs = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    log: Log = None,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    no_sign_request: NoSignRequest = False,
) -> None:
    """Download a source, or copy a place, to disk or to S3."""
    import visprep

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        result = visprep.download(
            source, output, split=split, limit=limit, config=config, layout=layout, revision=revision, map=map,
            overwrite=overwrite, jobs=jobs, s3=s3, progress=screen.progress,
        )  # fmt: skip
    console.show_result(screen, result, as_json=json)


@app.command()
def status(
    place: Place,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    log: Log = None,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    no_sign_request: NoSignRequest = False,
) -> None:
    """Tell what is done, failed and left at a place, and the command to go on."""
    import visprep

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    with console.screen(quiet=quiet, verbose=verbose, log=log):
        console.show_status(visprep.status(place, s3=s3), as_json=json)


@app.command()
def verify(
    place: Place,
    as_: Annotated[Optional[PlaceFormat], typer.Option("--as", help="What it is; guessed when left out.")] = None,  # noqa: UP045
    depth: Annotated[
        Depth | None, typer.Option("--depth", help="How closely.  [default: decode, on S3 headers]")
    ] = None,
    layout: Annotated[
        Optional[str],  # noqa: UP045 -- None: not given, so the project's
        typer.Option("--layout", metavar="NAME", help=f"{LAYOUT_HELP}  [default: template]"),
    ] = None,
    format: Annotated[ReportFormat, typer.Option("--format", help="How to report.")] = ReportFormat.text,
    report: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--report", metavar="FILE", callback=writable, help="Write the report there."),
    ] = None,
    baseline: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--baseline", metavar="FILE", help="A JSON report: leave out what it knows."),
    ] = None,
    fail_on: Annotated[
        FailOn | None, typer.Option("--fail-on", help="What makes the exit code 1.  [default: error]")
    ] = None,
    select: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--select", metavar="CODE[:GLOB]", help="Only such findings; may be repeated."),
    ] = None,
    ignore: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--ignore", metavar="CODE[:GLOB]", help="No such findings; may be repeated."),
    ] = None,
    only_changed: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--only-changed", metavar="REF", help="Only what changed since a git commit."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    jobs: Jobs = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    log: Log = None,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    no_sign_request: NoSignRequest = False,
) -> None:
    """Check a place: exit 1 when something is wrong."""
    import visprep

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    console.check_apart(report, baseline)
    project = configuration.options(select=select, ignore=ignore, fail_on=fail_on, layout=layout)
    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        found = visprep.verify(
            place, as_=as_, depth=depth, baseline=baseline, only_changed=only_changed, dry_run=dry_run,
            jobs=jobs, s3=s3, progress=screen.progress, **project,
        )  # fmt: skip
    console.show_report(found, "json" if json else format, report)
    raise typer.Exit(CANNOT if found.unread else FINDINGS if found.failed else 0)


@app.command()
def upload(
    place: Place,
    target: Annotated[str, typer.Argument(metavar="S3_PLACE", help="s3://bucket/prefix")],
    jobs: Jobs = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    log: Log = None,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    no_sign_request: NoSignRequest = False,
) -> None:
    """Copy a place to S3: only what differs is sent."""
    import visprep

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        result = visprep.upload(place, target, jobs=jobs, s3=s3, progress=screen.progress)
    console.show_result(screen, result, as_json=json)


@app.command()
def ls(
    place: Place,
    summarize: Annotated[bool, typer.Option("--summarize", help="Add the number of files and bytes.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    log: Log = None,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    no_sign_request: NoSignRequest = False,
) -> None:
    """List the files of a place: size in bytes and path."""
    import visprep

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    with console.screen(quiet=quiet, verbose=verbose, log=log):
        console.show_files(visprep.ls(place, s3=s3), as_json=json, summarize=summarize)


@app.command()
def explain(
    code: Annotated[Optional[str], typer.Argument(metavar="[CODE]", help="Of a finding or an error.")] = None,  # noqa: UP045
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    log: Log = None,
) -> None:
    """Say what a finding or an error means, and what to do; without a code, list them all."""
    import visprep

    with console.screen(quiet=quiet, verbose=verbose, log=log):
        console.show_pages(visprep.explain(code), as_json=json, in_full=code is not None)


class _Stopped(BaseException):
    """Ctrl-C or SIGTERM. Not a KeyboardInterrupt, since Typer would turn that into exit code 1."""


class _Interrupt:
    """Whether this run was asked to stop: what `_stop` raises may get lost on its way, this does not."""

    asked = False


def _stop(*_: Any) -> NoReturn:
    # Python drops what is raised inside a destructor or a weakref's callback, so we insist until it comes through
    _Interrupt.asked = True
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, _stop)
        signal.setitimer(signal.ITIMER_REAL, _INSIST)
    raise _Stopped


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        console.out(f"visprep {version('visprep')}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Prepare vision datasets: download, verify, and move them between upstream, disk, and S3."""


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: the one place where an error becomes words and a number."""
    code = _run(argv)
    atexit.register(_ignore_signals)
    sys.exit(code)


def _ignore_signals() -> None:
    """The work is done and its code is known: an interrupt while Python tidies up shall not change it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _run(argv: list[str] | None) -> int:
    before = _catch_signals()
    console.prepare()
    try:
        code = _code(argv)
        if _Interrupt.asked:
            raise _Stopped
        console.finish()
        return code
    except errors.VisprepError as problem:
        console.error(problem)
        return problem.exit_code
    except BrokenPipeError:  # the reader of our output had enough: that is not a failure
        console.silence()
        return 0
    except _Stopped:
        _calm()
        console.tell("")
        console.tell("visprep: interrupted; run the same command again to go on")
        return INTERRUPTED
    except Exception as bug:  # 1 would say that the data is wrong
        console.tell(f"visprep: a bug of ours: {type(bug).__name__}: {bug} [bug]")
        console.tell("hint: run it again with --log FILE, and report what the file says")
        return CANNOT
    finally:
        _calm()
        sys.unraisablehook = sys.__unraisablehook__
        for number, handler in before.items():
            signal.signal(number, handler)


def _unraisable(lost: Any) -> None:
    """Python's own report of an exception that it drops, but for the interrupt, which comes again."""
    if lost.exc_type is not _Stopped:
        sys.__unraisablehook__(lost)


def _calm() -> None:
    """Stop insisting."""
    if hasattr(signal, "setitimer") and signal.getsignal(signal.SIGALRM) is _stop:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def _code(argv: list[str] | None) -> int:
    """What the command or the parser wants to exit with; BrokenPipeError, which Typer would call a failure."""
    try:
        app(argv, prog_name="visprep")
    except OSError as error:
        if (code := _meant(error)) is not None:
            return code
        if isinstance(error, BrokenPipeError):
            raise
        raise errors.DiskError((error.strerror or str(error)).lower(), hint="see to the disk or the output") from error
    except SystemExit as ended:
        if isinstance(lost := ended.__context__, BrokenPipeError):
            if (code := _meant(lost)) is not None:
                return code
            raise lost from None
        return ended.code if isinstance(ended.code, int) else CANNOT
    return 0


def _meant(lost: OSError) -> int | None:
    """The exit code of the usage error that could not be said, since stderr takes nothing; None: it was none."""
    return getattr(lost.__context__, "exit_code", None)


def _catch_signals() -> dict[signal.Signals, Any]:
    """Let Ctrl-C and SIGTERM end us in order; what handled them before, to put it back."""
    _Interrupt.asked = False
    sys.unraisablehook = _unraisable
    try:
        return {number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: whoever runs us there handles signals
        return {}
