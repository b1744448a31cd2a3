"""All rules of COCO datasets: of annotation files, of image files, of the two together, and of results."""

from __future__ import annotations

from visprep.rules import Rule, coco, coco_files, coco_results, image_files

ALL: tuple[Rule, ...] = tuple(
    sorted((*coco.RULES, *coco_files.RULES, *coco_results.RULES, *image_files.RULES), key=lambda rule: rule.code)
)
