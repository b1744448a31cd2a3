"""`make readers` in small: the readers of COCO that are installed here, on a set that visprep downloaded."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import converted_readers
from readers import held, made, main, splits_of

HERE = ("--here", "pycocotools", "faster-coco-eval")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return made(tmp_path_factory.mktemp("readers"))


@pytest.fixture
def table(capsys):
    """`table("--here")` -> exit code, the rows by reader."""

    def call(*arguments):
        code = main(list(map(str, arguments)))
        _, *rows = capsys.readouterr().out.splitlines()
        return code, {row[:18].strip(): row[18:].split(maxsplit=4) for row in rows}

    return call


def edited(place, copy, change):
    """The annotations of a split of that set, changed, as a set of its own."""
    document = json.loads((place / "annotations/instances_train2017.json").read_bytes())
    change(document)
    (copy / "annotations").mkdir()
    (copy / "annotations/instances_train2017.json").write_text(json.dumps(document))
    return copy


def test_the_set_has_what_readers_stumble_over(place):
    found, words = held(place, splits_of(place))
    assert (found.images, found.annotations, found.categories) == (8, 17, 3)
    assert words == "crowds: 2, images without annotations: 1"


def test_what_is_installed_here_reads_all_of_it(table, place):
    code, rows = table(*HERE, "--set", place)
    assert code == 0
    assert rows.pop("the JSON itself")[:3] == ["8", "17", "3"]
    assert {name: row[1:] for name, row in rows.items()} == {name: ["8", "17", "3", "fine"] for name in HERE[1:]}


def test_other_numbers_are_told(table, place, tmp_path):
    def twice(document):
        document["annotations"].append(document["annotations"][0])

    code, rows = table(*HERE, "--set", edited(place, tmp_path, twice))
    assert code == 1
    count = int(rows["pycocotools"][2])
    assert rows["pycocotools"][4] == f"finds {count} annotations where there are {count + 1}"


def test_one_that_fails_does_not_end_the_others(table, place, tmp_path):
    code, rows = table(*HERE, "datumaro", "--set", edited(place, tmp_path, lambda one: one["categories"][0].pop("id")))
    assert code == 1
    assert list(rows) == ["the JSON itself", *HERE[1:], "datumaro"]
    assert rows["pycocotools"][4] == "fails: KeyError: 'id'"
    assert rows["datumaro"][-1].endswith("not installed in this environment")


def test_a_run_that_tries_none_does_not_pass(table, place):
    code, _ = table("--here", "--set", place, "datumaro")
    assert code == 3


@pytest.mark.parametrize("wrong", [("--here", "no-such-reader"), ("--set", "nowhere")])
def test_what_cannot_be_meant_is_refused(wrong, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(list(wrong))
    assert stopped.value.code == 2
    assert wrong[-1] in capsys.readouterr().err


def test_datasets_reads_what_tasks_become(capsys):
    pytest.importorskip("datasets")
    assert converted_readers.main(["--here", "datasets"]) == 0
    assert capsys.readouterr().out.endswith("reads parquet\n")


def test_another_box_or_class_is_not_the_same():
    boxes = {"a": [["dog", 1.0, 2.0, 3.0, 4.0], ["cat", 1.0, 2.0, 3.0, 4.0]], "b": []}
    assert converted_readers.same({"b": [], "a": [["cat", 1, 2, 3, 4.001], ["dog", 1, 2, 3, 4]]}, boxes)
    assert not converted_readers.same({**boxes, "a": [["dog", 1, 2, 3, 4], ["cat", 1, 2, 3, 4.5]]}, boxes)
    assert not converted_readers.same({**boxes, "a": [["dog", 1, 2, 3, 4]] * 2}, boxes)
    assert not converted_readers.same({"a": boxes["a"]}, boxes)
