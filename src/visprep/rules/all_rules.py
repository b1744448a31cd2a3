"""All rules, by the format whose places they are about, and all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from visprep.rules import (
    Rule,
    archives,
    coco_all,
    conversions,
    episodes,
    files,
    leaks,
    objects,
    open_images,
    splits,
    tasks,
    triplets,
    voc_all,
    yolo_all,
)

#: Formats, sorted by name.
OF_FORMAT: Mapping[str, tuple[Rule, ...]] = MappingProxyType(
    {
        "coco": coco_all.ALL,
        "frames": episodes.ALL,
        "open-images": open_images.ALL,
        "tasks": tasks.RULES,
        "voc": voc_all.ALL,
        "vton": triplets.ALL,
        "yolo": yolo_all.ALL,
    }
)
#: What is looked for at every place.
OF_ALL: tuple[Rule, ...] = (*archives.RULES, *files.RULES, *objects.RULES)
#: What split and leaks say of parts.
OF_PARTS: tuple[Rule, ...] = tuple(sorted((*leaks.RULES, *splits.RULES), key=lambda rule: rule.code))
#: What convert says of what it made.
OF_CONVERSIONS: tuple[Rule, ...] = conversions.RULES
#: Every kind of wrong, by code.
RULES: Mapping[str, Rule] = MappingProxyType(
    {
        rule.code: rule
        for rule in sorted(
            (
                *OF_ALL,
                *OF_CONVERSIONS,
                *OF_PARTS,
                *(rule for rules in OF_FORMAT.values() for rule in rules),
            ),
            key=lambda rule: rule.code,
        )
    }
)
