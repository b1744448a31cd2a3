"""The rules of parts: a bad case and a near miss of each."""

from __future__ import annotations

import json

import pytest

from coco_place import annotations
from visprep.rules import splits

FILE = "coco/annotations/instances_train2017.json"


@pytest.fixture
def found(run, tmp_path):
    """`found(change, *argv)` -> the codes of the findings of a split of 30 images of one class."""

    def call(change, *argv):
        data = annotations(list(range(1, 31)))
        data["annotations"] = [one for one in data["annotations"] if one["category_id"] == 1]
        change(data)
        file = tmp_path / "work" / FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(data))
        ended = run("split", FILE, "-o", "out", "--json", *argv)
        split = json.loads(ended.out)
        assert split["findings"] == json.loads(json.dumps(split["findings"]))
        return ended.code, sorted(one["code"] for one in split["findings"])

    return call


def having(count):
    """Gives a class of its own to so many images."""

    def change(data):
        for one in data["annotations"][:count]:
            one["category_id"] = 18
        for image in data["images"]:
            image["scene"] = "one" if image["id"] <= count else str(image["id"])

    return change


def test_class_absent_from_part(found):
    argv = ("--parts", "train=0.5,val=0.25,test=0.25", "--group-by", "scene")
    assert found(having(4), *argv) == (0, [splits.CLASS_ABSENT_FROM_PART.code] * 2)
    assert found(having(3), *argv) == (0, [splits.CLASS_ABSENT_FROM_PART.code] * 2)
    assert found(having(2), *argv) == (0, [])


def test_class_uneven(found):
    def games(count, of_one):
        def change(data):
            data |= annotations(list(range(1, 501)))
            data["annotations"] = [
                one for one in data["annotations"] if one["category_id"] == 1 or one["image_id"] <= count
            ]
            for image in data["images"]:
                image["scene"] = "one" if image["id"] <= of_one else str(image["id"])

        return change

    argv = ("--parts", "train=0.5,val=0.5", "--method", "exact", "--group-by", "scene")
    assert found(games(240, 150), *argv, "--stratify") == (0, [splits.CLASS_UNEVEN.code])
    assert found(games(240, 150), *argv) == (0, [])
    assert found(games(240, 100), *argv, "--stratify") == (0, [])
    assert found(games(180, 150), *argv, "--stratify") == (0, [])


def test_leak_across_parts(found, tmp_path):
    argv = ("--parts", "train=0.5,test=0.5", "--group-by", "scene")
    assert found(having(0), *argv) == (0, [])
    out = tmp_path / "work/out"
    members = json.loads((out / "split.json").read_text())["members"]
    (tmp_path / "first.json").write_text((out / "split.json").read_text())
    extend = (*argv, "--extend", str(tmp_path / "first.json"))

    def tie(*keys):
        def change(data):
            having(0)(data)
            data["images"].append(data["images"][0] | {"id": 99, "file_name": "new.jpg", "scene": "tied"})
            for image in data["images"]:
                if image["file_name"] in keys:
                    image["scene"] = "tied"

        return change

    assert found(tie(members["train"][0], members["test"][0]), *extend) == (1, [splits.LEAK_ACROSS_PARTS.code])
    assert found(tie(*members["train"][:2]), *extend) == (0, [])
    assert "new.jpg" in json.loads((out / "split.json").read_text())["members"]["train"]


def test_part_empty(found):
    def scenes(count):
        def change(data):
            for image in data["images"]:
                image["scene"] = image["id"] % count

        return change

    argv = ("--group-by", "scene")
    assert found(scenes(1), "--parts", "train=0.5,test=0.5", *argv) == (0, [splits.PART_EMPTY.code])
    assert found(scenes(1), "--parts", "train=1.0,test=0", *argv) == (0, [])
    assert found(scenes(15), "--parts", "train=0.5,test=0.5", *argv) == (0, [])
