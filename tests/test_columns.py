"""Which column fills which field, by request and by name."""

import pytest

from visprep.errors import UnknownName, UsageError
from visprep.sources.columns import FIELDS, PLAIN_NAMES, RESERVED, check_fields, choose

NEEDED = ("first_frame", "final_frame", "prompt")


def chosen(*columns, needed=NEEDED, binary=(), **asked):
    return choose(asked, {"x.parquet": columns}, needed, "hf:org/name", binary)


@pytest.mark.parametrize(
    ("columns", "first", "final", "prompt"),
    [
        (("first_frame", "final_frame", "prompt"), "first_frame", "final_frame", "prompt"),
        (("task", "prompt", "image", "solution_image"), "image", "solution_image", "prompt"),
        (("question", "image", "target_image", "task_type"), "image", "target_image", "question"),
        (("Prompt", "Initial_Image", "Final_Image"), "Initial_Image", "Final_Image", "Prompt"),
        (("image", "first_frame", "goal_image", "prompt", "question"), "first_frame", "goal_image", "prompt"),
    ],
)
def test_plain_names(columns, first, final, prompt):
    assert chosen(*columns) == {"first_frame": first, "final_frame": final, "prompt": prompt}


def test_standard_names_are_taken_and_others_are_not():
    columns = ("image", "solution_image", "prompt", "domain", "id", "ground_truth", "category", "task", "metadata")
    assert chosen(*columns, binary=("image", "solution_image", "ground_truth")) == {
        "first_frame": "image",
        "final_frame": "solution_image",
        "prompt": "prompt",
        "domain": "domain",
        "id": "id",
        "ground_truth": "ground_truth",
    }


def test_a_ground_truth_that_is_text_is_taken_only_when_asked_for():
    columns = ("image", "prompt", "solution_image", "ground_truth")
    assert "ground_truth" not in chosen(*columns, binary=("image", "solution_image"))
    assert chosen(*columns, ground_truth="ground_truth")["ground_truth"] == "ground_truth"


def test_a_field_can_be_asked_to_have_no_column():
    columns = ("image", "prompt", "solution_image", "ground_truth", "id", "domain")
    none = {"ground_truth": "", "id": "", "domain": ""}
    assert chosen(*columns, binary=columns, **none) == {
        "first_frame": "image",
        "final_frame": "solution_image",
        "prompt": "prompt",
    }
    check_fields(none)
    assert chosen(*columns, needed=("first_frame", "prompt"), final_frame="", **none) == {
        "first_frame": "image",
        "prompt": "prompt",
    }
    with pytest.raises(UsageError, match="plainly the final frame"):
        chosen(*columns, final_frame="")


def test_what_is_asked_for_wins_and_is_not_taken_twice():
    asked = {"prompt": "question", "final_frame": "image", "metadata.z": "id", "metadata.a": "prompt"}
    got = chosen("image", "first_image", "question", "prompt", "id", **asked)
    assert got == {"first_frame": "first_image", "final_frame": "image", "prompt": "question", "id": "id"} | {
        "metadata.a": "prompt",
        "metadata.z": "id",
    }
    assert list(got) == ["first_frame", "final_frame", "prompt", "id", "metadata.a", "metadata.z"]


def test_no_field_loses_the_column_of_its_name_to_another():
    got = chosen("image", "solution_image", "prompt", "id", domain="id")
    assert (got["domain"], got["id"]) == ("id", "id")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            {"first_frame": "prompt"},
            "--map first_frame=prompt: this column is the prompt, and cannot be the first frame",
        ),
        (
            {"prompt": "final_frame"},
            "--map prompt=final_frame: this column is the final frame, and cannot be the prompt",
        ),
        ({"prompt": "image", "first_frame": "image"}, "--map first_frame=image: this column is the prompt"),
        ({"prompt": "image"}, "plainly the first frame; --map takes image for the prompt; its columns are"),
    ],
)
def test_a_column_that_two_fields_want_is_named_with_the_one_that_was_asked_for(asked, words):
    with pytest.raises(UsageError, match=words):
        chosen("image", "final_frame", "prompt", **asked)


@pytest.mark.parametrize(
    ("columns", "words", "hint"),
    [
        (("image", "input_image", "solution_image", "prompt"), "image and input_image", "first_frame=image"),
        (("image", "solution_image", "question", "instruction"), "question and instruction", "prompt=question"),
        (("Prompt", "PROMPT", "image", "solution_image"), "Prompt and PROMPT", "prompt=Prompt"),
        (("picture", "solution_image", "prompt"), "first frame; its columns are: picture, ", "first_frame=COLUMN"),
        (("image", "prompt"), "final frame; its columns are: image, prompt", "--layout vmevalkit"),
        (("image", "solution_image", "text"), "plainly the prompt", "prompt=COLUMN"),
    ],
)
def test_doubts(columns, words, hint):
    with pytest.raises(UsageError, match=words) as caught:
        chosen(*columns)
    assert hint in caught.value.hint


def test_a_final_frame_is_needed_only_where_it_is():
    assert chosen("image", "prompt", needed=("first_frame", "prompt")) == {"first_frame": "image", "prompt": "prompt"}


def test_a_column_must_be_in_every_table():
    tables = {"a.parquet": ("image", "prompt", "id", "x"), "b.parquet": ("prompt", "image")}
    assert choose({}, tables, ("first_frame", "prompt"), "s") == {"first_frame": "image", "prompt": "prompt"}
    with pytest.raises(UnknownName, match=r"b\.parquet of s has no column 'x'") as caught:
        choose({"domain": "x"}, tables, ("first_frame", "prompt"), "s")
    assert caught.value.hint == "it has: prompt, image"
    with pytest.raises(UsageError, match="plainly the final frame; its columns are: image, prompt"):
        choose({}, tables, NEEDED, "s")


@pytest.mark.parametrize("field", ["frame", "Prompt", "metadata.", "metadata", "meta.x", ""])
def test_fields_that_there_are_not(field):
    with pytest.raises(UnknownName) as caught:
        check_fields({field: "x"})
    assert all(known in caught.value.hint for known in (*FIELDS, "metadata.KEY"))


def test_fields_that_there_are():
    check_fields(dict.fromkeys((*FIELDS, "metadata.any key"), "x"))
    for key in RESERVED:
        with pytest.raises(UsageError, match=f"visprep writes '{key}'"):
            check_fields({f"metadata.{key}": "x"})
    for field in ("prompt", "first_frame", "metadata.x"):
        with pytest.raises(UsageError, match=f"no column is named for {field}"):
            check_fields({field: ""})


def test_no_name_means_two_fields():
    names = [*FIELDS, *(name for names in PLAIN_NAMES.values() for name in names)]
    assert len(names) == len(set(names))
    assert set(PLAIN_NAMES) <= set(FIELDS)
