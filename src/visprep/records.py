"""What files mean, as plain data: a `Task` is a puzzle for a video model, with a picture before and one after.

Records hold encoded bytes, not pixels: converting between formats then loses nothing, and a record costs what
its files cost. Reading and writing them is the business of `formats`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Task:
    """One task: a first frame, what should happen (`prompt`), and, where it is known, the final frame.

    `domain` and `id` name its directory, `{domain}_task/{id}/`. Frames are encoded images of any format that
    Pillow reads; the task format writes them as PNG. `ground_truth` is an encoded video whose container
    `video_suffix` names (`.avi` or `.mp4`). `metadata` is plain JSON data.
    """

    domain: str
    id: str
    prompt: str
    first_frame: bytes
    final_frame: bytes | None = None
    ground_truth: bytes | None = None
    video_suffix: str = ".avi"
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The directory of the task, relative to its place."""
        return f"{self.domain}_task/{self.id}"


@dataclass(frozen=True, slots=True)
class Files:
    """A record of any other kind, as the files that it is made of: their bytes, by path relative to the place."""

    key: str
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row of a source that cannot become a record: `reason` is the same text for the same kind of cause."""

    origin: str
    reason: str
    count: int = 1


#: What a source may give: records, and what had to be skipped.
Record = Task | Files | Skipped
