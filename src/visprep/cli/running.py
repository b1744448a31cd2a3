"""One run of the command line: interrupts, and the one place where an error becomes words and a number."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
from typing import Any, NoReturn

import typer

from visprep import console, errors
from visprep.cli.application import CANNOT, INTERRUPTED, application
from visprep.cli.refusing import Refused, asks_for_help, in_words
from visprep.cli.stopping import farewell
from visprep.garbage_collection import RARELY

#: Seconds after which an interrupt that had no effect is raised again.
_INSIST = 0.25


class _Stopped(BaseException):
    """Ctrl-C or SIGTERM. Not a KeyboardInterrupt, since Typer would turn that into exit code 1."""


class _Interrupt:
    """Whether this run was asked to stop: what `_stop` raises may get lost on its way, this does not."""

    asked = False
    #: It did stop, and says so: another one has nothing left to do.
    heard = False


def _stop(*_: Any) -> None:
    if _Interrupt.heard:
        return
    # Python drops what is raised inside a destructor or a weakref's callback, so we insist until it comes through
    _Interrupt.asked = True
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, _stop)
        signal.setitimer(signal.ITIMER_REAL, _INSIST)
    raise _Stopped


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: the one place where an error becomes words and a number."""
    # What is loaded by now stays, and the many objects of a large place are in no circles: looking for some in them
    # again and again took a twentieth of a command's time
    if argv is None:  # else the process is somebody else's
        gc.freeze()
        gc.set_threshold(*RARELY)
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
        _Interrupt.heard = (
            True  # Ctrl-C and SIGTERM may come together: before any call, since there the second one comes
        )
        _calm()
        console.tell("")
        for line in farewell(sys.argv[1:] if argv is None else argv):
            console.tell(line)
        return INTERRUPTED
    except Exception as bug:  # 1 would say that the data is wrong
        console.tell(f"visprep: a bug of ours: {type(bug).__name__}: {bug} [bug]")
        console.tell("hint: run it again with --log FILE, and report what the file says")
        return CANNOT
    finally:
        _Interrupt.heard = True
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
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["__complete"]:  # a shell asks what may stand next
        from visprep.cli.completing import answer

        console.out("".join(f"{line}\n" for line in answer(" ".join(words[1:]))))
        return 0
    try:
        code = application(words)(argv, prog_name="visprep", standalone_mode=False)
    except Refused as problem:
        if not asks_for_help(problem):
            raise in_words(problem, words) from None
        for line in str(problem).splitlines():
            console.tell(line)
        return errors.UsageError.exit_code
    except typer.Abort:
        raise errors.UsageError("nobody answered, so nothing was done", hint="say --yes") from None
    except SystemError:
        if _Interrupt.asked:  # what a library in C makes of an interrupt
            raise _Stopped from None
        raise
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise errors.DiskError((error.strerror or str(error)).lower(), hint="see to the disk or the output") from error
    except SystemExit as ended:
        if isinstance(lost := ended.__context__, BrokenPipeError):
            raise lost from None
        return ended.code if isinstance(ended.code, int) else CANNOT
    return code if isinstance(code, int) else 0


def _catch_signals() -> dict[signal.Signals, Any]:
    """Let Ctrl-C and SIGTERM end us in order; what handled them before, to put it back."""
    _Interrupt.asked = _Interrupt.heard = False
    sys.unraisablehook = _unraisable
    try:
        return {number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: whoever runs us there handles signals
        return {}
