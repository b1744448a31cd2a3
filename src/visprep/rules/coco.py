"""The rules of COCO JSON: what may be wrong with one annotation file, whatever images lie beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from visprep.findings import Finding
from visprep.formats.coco_json import JsonFile
from visprep.rules import Rule

__all__ = ["RULES", "Checked", "check"]

RULES: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """What looking at one file gave.

    `kind` is `instances`, `keypoints`, `captions`, `panoptic`, `image_info` or `results`, by what its records say; None
    when nothing can be told. `counts` are its `images`, `annotations` and `categories`. `readable` is whether
    `coco_json.index` will take it.
    """

    findings: tuple[Finding, ...]
    kind: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    readable: bool = True


def check(file: JsonFile, path: str | None = None) -> Checked:
    """Hold a file against the rules; findings name it `path`, its own name when left out.

    Reads it once, in bounded memory; whatever it holds, the answer is findings. What the store raises is raised.
    """
    return Checked(())
