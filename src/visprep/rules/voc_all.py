"""All rules of datasets of Pascal VOC: of annotations, of sets and names, and of image files."""

from __future__ import annotations

from visprep.rules import Rule, image_files, strays, voc, voc_sets

ALL: tuple[Rule, ...] = tuple(
    sorted((*voc.RULES, *voc_sets.RULES, *image_files.RULES, strays.DIRECTORY_LINK), key=lambda rule: rule.code)
)
