"""What went wrong in the background, kept until the next call of whoever trains."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from pathlib import Path

from visprep.errors import VisprepError

log = logging.getLogger("visprep.runs")

_HERE = str(Path(__file__).parent)


class RunWarning(UserWarning):
    """S3 cannot be had, and what is meant for it stays on this machine; or a run ended before all was sent."""


class Untold:
    """Warnings and errors of other threads. `lasting` is an error after which nothing can be saved any more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._warnings: list[str] = []
        self._errors: list[BaseException] = []
        self.lasting: VisprepError | None = None

    def warn(self, words: str) -> None:
        """Warn at the next `tell`, and in the log at once."""
        log.warning("%s", words)
        with self._lock:
            self._warnings.append(words)

    def fail(self, error: BaseException, about: str = "") -> None:
        """Raise it at the next `tell`, with what it is `about` as its note; it is in the log at once."""
        if about:
            error.add_note(about)
        log.error("%s", in_words(error), exc_info=None if isinstance(error, VisprepError) else error)
        with self._lock:
            self._errors.append(error)

    def fail_for_good(self, error: VisprepError) -> None:
        """Raise it at every `tell` from now on."""
        log.error("%s", in_words(error))
        self.lasting = error

    def tell(self) -> None:
        """Warn of what is to be warned of, in the thread that calls, and raise what is to be raised.

        Of several errors the first is raised, with the others as its notes.
        """
        while True:
            with self._lock:
                if not self._warnings:
                    break
                words = self._warnings.pop(0)
            _warn(words)
        with self._lock:
            errors, self._errors = self._errors, []
        if self.lasting:
            errors.insert(0, self.lasting)
        if errors:
            first, *others = errors
            for other in others:
                if other is not first:
                    first.add_note(f"and: {in_words(other)}")
            raise first


def in_words(error: BaseException) -> str:
    """An error as one line, with its slug and hint where it is one of ours."""
    if not isinstance(error, VisprepError):
        return f"{type(error).__name__}: {error}"
    return f"{error.message} [{error.slug}]" + (f"; {error.hint}" if error.hint else "")


def _warn(words: str) -> None:
    """A warning, shown at the line that called visprep."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith(_HERE):
        level, frame = level + 1, frame.f_back
    warnings.warn(words, RunWarning, stacklevel=level)
