"""Which checkpoint is the newest or the best, at the place of a run or in its fallback directory, and loading it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visprep.errors import FileMissing, UsageError, VisprepError
from visprep.runs.background import Background
from visprep.runs.checkpoints import Checkpoint
from visprep.runs.destination import Destination
from visprep.runs.telling import Untold, in_words
from visprep.settings import S3Settings


class Finder:
    """`stuck_after`, in seconds, is how long the place is asked where the fallback directory can answer."""

    def __init__(
        self,
        target: Destination,
        fallback: Destination | None,
        background: Background,
        untold: Untold,
        stuck_after: float,
        settings: S3Settings | None,
    ) -> None:
        self._target, self._fallback, self._background = target, fallback, background
        self._untold, self._stuck_after, self._settings = untold, stuck_after, settings
        self._warned: set[tuple[str, str]] = set()

    def find(self, which: str, *, wait: bool) -> Checkpoint | None:
        """The "latest" or the "best"; with `wait`, after the saves that are under way are safe."""
        if wait:
            self._background.wait_for_all()
        found = self._in_fallback(which)
        try:
            trouble = self._background.trouble
            if found and trouble:  # it is tried again and again elsewhere: nobody has to wait for that here
                raise trouble
            index = self._target.look(brief=self._stuck_after if found else None)
        except VisprepError as error:
            if not found:
                raise
            self._warn(found[-1], error)
        else:
            there = index.latest if which == "latest" else index.best
            found = sorted([*found, *([there] if there else [])], key=lambda one: one.saved)
        return found[-1] if found else None

    def _warn(self, kept: Checkpoint, error: VisprepError) -> None:
        """Say what is taken instead, once for each checkpoint and trouble."""
        if (kept.path, error.slug) not in self._warned:
            self._warned.add((kept.path, error.slug))
            place = self._target.store.place
            self._untold.warn(f"{place} cannot be had: {in_words(error)}; {kept.path} is the one kept here")
        self._untold.tell()

    def _in_fallback(self, which: str) -> list[Checkpoint]:
        """Those that are still to be sent, the oldest first."""
        later = self._background.later
        if not later or not self._fallback:
            return []
        named = [one for one in self._fallback.look().checkpoints if one.path in later]
        return [one for one in named if one.best] if which == "best" else named

    def load(self, which: str, how: Mapping[str, Any], *, wait: bool) -> Any:
        """The state of the "latest" or the "best" one; FileMissing where there is none."""
        for last in (False, True):
            checkpoint = self.find(which, wait=wait)
            if checkpoint is None:
                raise FileMissing(
                    f"{self._target.store.place} has no {which} checkpoint of {self._target.experiment!r}",
                    hint=f"`visprep runs list {self._target.store.place}` shows what there is",
                )
            try:
                return self.load_one(checkpoint, how)
            except FileMissing:  # another process may have saved, and removed this one, since it was looked up
                if last:
                    raise
        raise AssertionError

    def load_one(self, checkpoint: Checkpoint, how: Mapping[str, Any]) -> Any:
        """The state of one that was found."""
        from visprep.runs import load_checkpoint

        places = [self._target.store.place]
        if self._fallback and checkpoint.path in self._background.later:
            places.insert(0, self._fallback.store.place)  # it may be on its way from there at this moment
        for place in places:
            try:
                return load_checkpoint(f"{place}/{checkpoint.path}", sha256=checkpoint.sha256, s3=self._settings, **how)
            except FileMissing:
                if place is places[-1]:
                    raise
        raise AssertionError

    def load_file(self, file: Any, how: Mapping[str, Any]) -> Any:
        """The state in a file, by its path or URL."""
        from visprep.runs import load_checkpoint

        try:
            text = os.fspath(file)
        except TypeError:
            text = None
        if not isinstance(text, str):
            raise UsageError(f"{file!r} names no checkpoint", hint=_WHICH)
        if not (Path(text).suffix or "/" in text or os.sep in text or Path(text).exists()):
            raise UsageError(f"{text!r} names no checkpoint, and no file is called so", hint=_WHICH)
        return load_checkpoint(text, s3=self._settings, **how)


_WHICH = 'it is "latest", "best", a Checkpoint, a path or an s3:// URL'
