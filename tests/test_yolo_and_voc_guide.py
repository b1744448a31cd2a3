"""The guide to YOLO and VOC: its tables have the rules that there are, and its data.yaml and rows are right."""

import re
from pathlib import Path

import visprep
from drawn import put
from labeled_places import BOX, jpeg
from visprep.formats import yolo, yolo_data
from visprep.rules import Depth, voc, voc_sets
from visprep.rules import yolo as yolo_rules
from visprep.rules import yolo_data as yolo_data_rules

GUIDE = (Path(__file__).parents[1] / "docs/yolo-and-voc.md").read_text()
RULES = (*yolo_rules.RULES, *yolo_data_rules.RULES, *voc.RULES, *voc_sets.RULES)


def test_its_tables_have_every_rule():
    told = re.findall(r"^\| `([a-z-]+)` \| .*$", GUIDE, re.MULTILINE)
    codes = [code for code in told if code not in set(map(str, Depth))]
    assert sorted(codes) == sorted(rule.code for rule in RULES)


def test_levels_are_told_where_they_are_not_errors():
    for rule in RULES:
        (line,) = re.findall(rf"^\| `{rule.code}` \| .*$", GUIDE, re.MULTILINE)
        assert (f"(a {rule.level.value})" in line) == (rule.level.value != "error")


def test_its_data_file_is_read(tmp_path):
    (text,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    data, faults = yolo_data.read(text.encode())
    assert (faults, data.count, data.names[2]) == ([], 3, "no")
    for part in ("train", "val", "test"):
        put(tmp_path, f"images/{part}/a.jpg", jpeg(len(part)))
        put(tmp_path, f"labels/{part}/a.txt", BOX)
    put(tmp_path, "test.txt", b"./images/test/a.jpg\n")
    put(tmp_path, "data.yaml", re.sub("path: [^ ]+", "path:", text).encode())
    assert [one.code for one in visprep.verify(tmp_path).findings] == []


def test_its_rows_are_rows():
    box, polygon, pose = re.findall(r"^\| `(0 [0-9. ]+?)(?: \.\.\.)?` \|", GUIDE, re.MULTILINE)
    (first,) = yolo.read(box.encode())
    (second,) = yolo.read(polygon.encode())
    (third,) = yolo.read(pose.encode(), (1, 3))
    assert first.box == (0.5, 0.5, 0.2, 0.1)
    assert len(second.polygon) == 6
    assert third.keypoints == (0.4, 0.4, 2)
