"""Where the log lines of the library go when the command line is asked for them, with secrets blotted out."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from visprep.errors import DiskError, VisprepError, WouldOverwrite

_SECRETS = re.compile(
    r"(?i)(authorization|x-amz-[a-z-]*(?:token|signature)|token|secret)(\W+)((?:bearer )?[^\s&,;'\"]+)"
)
#: What a line begins with, as `_FORMAT` makes it.
_LINE = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ ")
_FORMAT = "%(asctime)s %(levelname)s %(message)s"


class _Redacting(logging.Formatter):
    """Log lines without anything that could open a door."""

    def format(self, record: logging.LogRecord) -> str:
        return _SECRETS.sub(r"\1\2***", super().format(record))


class _Talk(logging.Handler):
    """Lines on stderr as it is at the moment: while bars are drawn, their keeper puts lines above them."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):  # nobody reads it any more
            print(self.format(record), file=sys.stderr)  # noqa: T201


@contextmanager
def logging_to(verbose: int, path: Path | None) -> Iterator[None]:
    """Show retries on stderr with `verbose` 1 and every request with 2; write all of it to the end of `path`.

    WouldOverwrite when `path` is a file of something else: a log at its end would spoil it.
    """
    logger = logging.getLogger("visprep")
    handlers: list[logging.Handler] = []
    if path:
        try:
            if _is_of_others(path):
                hint = "choose another FILE, or move this one away"
                raise WouldOverwrite(f"--log {path}: it is no log of visprep", paths=(str(path),), hint=hint)
            handlers.append(logging.FileHandler(path, encoding="utf-8"))
        except OSError as error:
            words = f"--log {path}: {(error.strerror or str(error)).lower()}"
            raise DiskError(words, hint="name a file that can be written") from None
    if verbose:
        handlers.append(_Talk())
        handlers[-1].setLevel(logging.DEBUG if verbose > 1 else logging.INFO)
    for handler in handlers:
        handler.setFormatter(_Redacting(_FORMAT))
        logger.addHandler(handler)
    before = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        yield
    except VisprepError:
        raise
    except Exception:
        logger.exception("a bug of ours")
        raise
    finally:
        logger.setLevel(before)
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


def _is_of_others(path: Path) -> bool:
    """Whether a file is there that holds something, and begins with no line of a log.

    A pipe holds nothing, and to what an output of this process goes it may write.
    """
    if not path.is_file() or any(_goes_to(number, path) for number in (1, 2)):
        return False
    with path.open("rb") as file:
        head = file.read(64)
    return bool(head) and _LINE.match(head) is None


def _goes_to(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:  # it is closed
        return False
