"""A file for PyAV, which prints what a seek raises: whatever is written is written at once, and no seek writes."""

from __future__ import annotations

import io


class Unbuffered:
    """A file without a buffer of its own, whose writes are whole: so that a full disk shows when it is written to."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self.seek, self.tell, self.read = file.seek, file.tell, file.read

    def write(self, data: bytes) -> int:
        """All of it; OSError when there is no room for it."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        return len(data)
