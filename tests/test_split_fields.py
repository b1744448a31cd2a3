"""`visprep split --group-by`: fields of odd names, and values that say nothing or cannot be read."""

from __future__ import annotations

import json

import pytest

from visprep.split_file import load

PARTS = "train=0.5,val=0.5"


@pytest.fixture
def split(run, tmp_path):
    """`split(images, field)`: records without annotations, grouped by the field; how that ended."""

    def call(images, field, *more):
        file = tmp_path / "work/instances_x.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(images if isinstance(images, str) else json.dumps({"images": images, "annotations": []}))
        return run("split", file, "-o", "out", "--parts", PARTS, "--group-by", field, *more)

    return call


def told(tmp_path):
    return load((tmp_path / "work/out/split.json").read_bytes(), "split.json")


def images(count, **more):
    """So many images; `more` gives of each key the value by the number of the image."""
    return [
        {"id": n, "file_name": f"{n:03}.jpg", **{key: of(n) for key, of in more.items()}} for n in range(1, count + 1)
    ]


@pytest.mark.parametrize("field", ['a"b', "a\\b", "a\nb", "ä", "a b", 'outer.in"ner', "two.words.deep"])
def test_a_field_may_have_any_name(split, tmp_path, field):
    def nested(n):
        value = n // 10
        for key in reversed(field.split(".")[1:]):
            value = {key: value}
        return value

    assert split(images(30, **{field.split(".")[0]: nested}), field).code == 0
    assert (told(tmp_path).groups, told(tmp_path).ungrouped) == (4, 0)


def test_a_field_with_a_dot_in_its_own_name_comes_before_a_nested_one(split, tmp_path):
    assert split(images(20, **{"a.b": lambda n: n % 2, "a": lambda n: {"b": n}}), "a.b").code == 0
    assert told(tmp_path).groups == 2


@pytest.mark.parametrize("field", ['a"b', "a\\b", "\x01"])
def test_a_field_of_any_name_that_no_record_has_is_wrong_usage(split, field):
    ended = split(images(3), field)
    assert (ended.code, "no image record has it" in ended.err) == (2, True)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ('{"a": 1e999}', "game.a"),
        ('"\\ud800"', "game"),
        ("[" * 1200 + "]" * 1200, "game"),
    ],
)
def test_a_value_that_cannot_be_read_is_told_with_its_record(split, tmp_path, value, field):
    records = json.dumps(images(3))[1:-1]
    bad = f'{{"id": 9, "file_name": "9.jpg", "game": {value}}}'
    text = f'{{"images": [{records}, {bad}], "annotations": []}}'
    ended = split(text, field)
    assert (ended.code, f"/images/3 at byte {text.index(bad)}" in ended.err) == (3, True), ended.err
    assert not (tmp_path / "work/out").exists()


def test_names_to_propose_are_those_of_records_that_can_be_read(split):
    ended = split(
        '{"images": [{"id": 1, "file_name": "1.jpg", "a": 1e999}, {"id": 2, "file_name": "2", "game": 1}]}', "gane"
    )
    assert (ended.code, "game" in ended.err) == (2, True)


def test_an_empty_value_is_none(split, tmp_path):
    assert split(images(30, game=lambda n: "" if n <= 20 else "g"), "game").code == 0
    assert (told(tmp_path).groups, told(tmp_path).ungrouped) == (21, 20)
    ended = split(images(30, game=lambda n: ""), "game")
    assert (ended.code, "no image record has it" in ended.err) == (2, True)


def test_an_empty_value_of_a_task_is_none(run, tmp_path):
    assert run("download", "sample", "-o", "questions").code == 0
    found = sorted((tmp_path / "work/questions").rglob("metadata.json"))
    for number, file in enumerate(found):
        file.write_text(json.dumps({**json.loads(file.read_text()), "source": "" if number else "one"}))
    assert run("split", "questions", "-o", "out", "--parts", PARTS, "--group-by", "source").code == 0
    assert told(tmp_path).ungrouped == len(found) - 1 > 0
