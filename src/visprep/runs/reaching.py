"""Whether the place of a run can be had, as it was when it was tried last, and who is told of it."""

from __future__ import annotations

from visprep.errors import ServerFailed, VisprepError
from visprep.runs.telling import Untold, in_words, log


class Reach:
    """`meanwhile` says what happens to what is meant for the place while it cannot be had."""

    def __init__(self, place: str, meanwhile: str, untold: Untold) -> None:
        self._place, self._meanwhile, self._untold = place, meanwhile, untold
        self._warned = ""
        #: What stood in the way, None: nothing.
        self.trouble: VisprepError | None = None

    def lost(self, error: VisprepError) -> None:
        """It cannot be had. That is warned of once, until something was saved there, or the reason is another."""
        self.trouble = error
        words = in_words(error)
        if error.slug == self._warned:
            log.info("%s still cannot be had: %s", self._place, words)
        else:
            self._warned = error.slug
            self._untold.warn(f"{self._place} cannot be had: {words}; {self._meanwhile}")

    def failed(self, error: BaseException) -> None:
        """A fault of ours, told elsewhere: as if it could not be had, so that it is tried again later."""
        self.trouble = ServerFailed(str(error))

    def had(self, *, saved: bool = False) -> None:
        """It could be had, and perhaps something saved there."""
        before, self.trouble = self.trouble, None
        if saved:
            self._warned = ""
        if before:
            log.info("%s can be had again", self._place)
