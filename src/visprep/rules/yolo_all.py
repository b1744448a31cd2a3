"""All rules of datasets of YOLO: of labels, of the data file, and of image files."""

from __future__ import annotations

from visprep.rules import Rule, image_files, strays, yolo, yolo_data

ALL: tuple[Rule, ...] = tuple(
    sorted((*yolo.RULES, *yolo_data.RULES, *image_files.RULES, strays.DIRECTORY_LINK), key=lambda rule: rule.code)
)
