"""What a conversion is, whatever is converted to whatever: what it takes, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from visprep.formats.open_images_coco import Converted
from visprep.progress import OnProgress
from visprep.stores.local import LocalStore

__all__ = ["ConvertResult", "Converter"]

_Recognized = TypeVar("_Recognized", contravariant=True)


@dataclass(frozen=True, slots=True)
class ConvertResult:
    """What a conversion did.

    `kind` is what `origin` was recognized as. `files` were written, of which `linked` are hard links and `copied` are
    copies of the origin's, and `kept` were there already. `images` counts those of each split, `boxes` is what came of
    their boxes. `losses` counts, by what is lost or was not told, the records that lack it; `notes` say what else there
    is to know. `others` counts images from before that are not among these.
    """

    origin: str
    target: str
    to: str
    kind: str
    files: int = 0
    linked: int = 0
    copied: int = 0
    kept: int = 0
    images: dict[str, int] = field(default_factory=dict)
    boxes: dict[str, Converted] = field(default_factory=dict)
    losses: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    others: int = 0


class Converter(Protocol[_Recognized]):
    """Converts what was recognized in a directory to one format."""

    def __call__(
        self, origin: LocalStore, found: _Recognized, target: LocalStore, jobs: int | None, progress: OnProgress
    ) -> ConvertResult:
        """Make or complete `target`; errors as `convert` says."""
        ...
