"""Which findings are asked for: by code and path, and by what changed."""

import json
import shutil

import pytest

import visprep
from visprep.errors import UnknownName
from visprep.findings import Finding, Level
from visprep.selection import Pattern, Scope, selection

CODES = ("file-unreadable", "frame-mode", "frame-size-mismatch", "unexpected-file")


def finding(path, code="frame-mode", **where):
    return Finding(code, Level.ERROR, path, "wrong", where=where)


@pytest.mark.parametrize(
    ("glob", "path", "covered"),
    [
        (None, "a/b.png", True),
        ("a/b.png", "a/b.png", True),
        ("a/*.png", "a/b.png", True),
        ("a/*.png", "a/deep/b.png", True),
        ("a", "a/deep/b.png", True),
        ("a/", "a/deep/b.png", True),
        ("a/deep", "a/deep/b.png", True),
        ("deep", "a/deep/b.png", True),
        ("*.png", "a/deep/b.png", True),
        ("b.*", "a/deep/b.png", True),
        ("[ab].png", "a/b.png", True),
        (".", "a/b.png", True),
        (".", ".", True),
        ("*", ".", True),
        ("b", "a/b.png", False),
        ("*.PNG", "a/b.png", False),
        ("deep/b.png", "a/deep/b.png", False),
        ("a/b", "a/bc", False),
    ],
)
def test_globs(glob, path, covered):
    assert Pattern("frame-mode", glob).covers(finding(path)) is covered
    assert not Pattern("unexpected-file", glob).covers(finding(path))


def test_select_then_ignore():
    chosen = selection(["frame-mode", "unexpected-file:a"], ["frame-mode:b"], CODES)
    admitted = {
        (code, path)
        for code in CODES
        for path in ("a/x", "b/x")
        if chosen.admits(finding(path, code)) and code != "file-unreadable"
    }
    assert admitted == {("frame-mode", "a/x"), ("unexpected-file", "a/x")}
    assert [chosen.looks_for(code) for code in CODES] == [False, True, False, True]
    everything = selection([], ["frame-mode"], CODES)
    assert [everything.looks_for(code) for code in CODES] == [True, False, True, True]


def test_what_could_not_be_read_goes_only_by_name():
    unread = finding("a", "file-unreadable")
    assert selection(["frame-mode"], [], CODES).admits(unread)
    assert not selection([], ["file-unreadable:a"], CODES).admits(unread)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("frame-mod", "did you mean frame-mode?"),
        ("Frame-Size-Mismatch:a", "did you mean frame-size-mismatch?"),
        ("xyz", f"there are: {', '.join(CODES)}"),
        ("", f"there are: {', '.join(CODES)}"),
    ],
)
def test_an_unknown_code_is_told_with_the_nearest(text, hint):
    for select, ignore in (([text], []), ([], [text])):
        with pytest.raises(UnknownName) as raised:
            selection(select, ignore, CODES)
        assert raised.value.hint == hint


def test_one_text_is_as_good_as_a_list_of_one():
    assert selection("frame-mode:a", (), CODES) == selection(["frame-mode:a"], (), CODES)


def test_a_scope_is_the_changed_files_and_the_records_that_hold_one():
    records = ["a_task/1", "a_task/2", "a_task/10"]
    scope = Scope({"a_task/1/prompt.txt", "readme.md", "new_task/9/prompt.txt"}, records)
    inside = (".", "a_task", "a_task/1", "a_task/1/prompt.txt", "a_task/1/final_frame.png", "readme.md", "new_task/9")
    outside = ("a_task/2", "a_task/2/prompt.txt", "a_task/10/prompt.txt", "other.md", "new_task/9/final_frame.png")
    assert [path for path in (*inside, *outside) if scope.holds(path)] == list(inside)
    assert scope.covers(finding("a_task/2", first="a_task/1"))
    assert not scope.covers(finding("a_task/2", first="a_task/10", mode="RGB", sizes=[1, 2]))
    assert all(Scope(None, records).holds(path) for path in (*inside, *outside))
    assert not any(Scope((), records).holds(path) for path in (*inside, *outside))
    assert Scope({"prompt.txt"}, [""]).holds("final_frame.png")  # the place is itself a task


# Through the command line


@pytest.fixture
def place(run, tmp_path):
    """Two tasks without a final frame, one with an odd file, one that cannot be read."""
    root = tmp_path / "sample"
    run("download", "sample", "--limit", "4", "--output", root)
    shutil.rmtree(root / ".visprep")
    (root / "dataset.json").unlink()
    tasks = sorted(root.glob("*_task/*"))
    for task in tasks[:2]:
        (task / "final_frame.png").unlink()
    (tasks[2] / "notes.txt").write_text("x")
    return root


def told(run, place, *options):
    ended = run("verify", place, "--json", *options)
    return ended.code, sorted(one["code"] for one in json.loads(ended.out)["findings"])


def test_on_the_command_line(run, place):
    assert told(run, place) == (1, ["task-file-missing", "task-file-missing", "unexpected-file"])
    assert told(run, place, "--select", "unexpected-file") == (0, ["unexpected-file"])
    assert told(run, place, "--ignore", "task-file-missing") == (0, ["unexpected-file"])
    one = sorted(place.glob("*_task/*"))[0].relative_to(place).as_posix()
    assert told(run, place, "--ignore", f"task-file-missing:{one}") == (1, ["task-file-missing", "unexpected-file"])
    both = ("--select", "unexpected-file", "--select", f"task-file-missing:{one}", "--ignore", "unexpected-file")
    assert told(run, place, *both) == (1, ["task-file-missing"])
    assert visprep.verify(place, select="unexpected-file").counts == {"error": 0, "warning": 1, "note": 0}


def test_fail_on(run, place):
    only = ("--select", "unexpected-file")
    assert told(run, place, *only, "--fail-on", "error")[0] == 0
    assert told(run, place, *only, "--fail-on", "warning")[0] == 1
    assert run("verify", place, "--fail-on", "note").code == 2
    with pytest.raises(UnknownName):
        visprep.verify(place, fail_on="note")


def test_an_unknown_code_is_wrong_usage(run, place):
    ended = run("verify", place, "--ignore", "unexpected-fil:*.txt")
    assert (ended.code, ended.out) == (2, "")
    assert "[unknown-name]" in ended.err
    assert "did you mean unexpected-file?" in ended.err


def test_a_fault_that_two_rules_see_is_told_by_the_one_that_is_asked_for(run, tmp_path):
    root = tmp_path / "sample"
    run("download", "sample", "--limit", "4", "--output", root)
    sorted(root.glob("*_task/*"))[0].joinpath("final_frame.png").unlink()
    assert told(run, root) == (1, ["task-file-missing"])
    assert told(run, root, "--select", "file-missing") == (1, ["file-missing"])


def test_what_cannot_be_read_ends_with_3_whatever_is_selected(run, place, tmp_path):
    (tmp_path / "outside").write_text("x")
    prompt = sorted(place.glob("*_task/*"))[3] / "prompt.txt"
    prompt.unlink()
    prompt.symlink_to(tmp_path / "outside")
    assert told(run, place, "--select", "unexpected-file") == (3, ["task-file-unreadable", "unexpected-file"])
    assert told(run, place, "--ignore", "task-file-unreadable")[0] == 1
