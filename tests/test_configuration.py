"""`[tool.visprep]` in the pyproject.toml of the working directory: what a project says once."""

import json
import os
import shutil

import pytest


@pytest.fixture
def place(run, tmp_path):
    """A task without a final frame, one with an odd file."""
    root = tmp_path / "sample"
    run("download", "sample", "--limit", "2", "--output", root)
    shutil.rmtree(root / ".visprep")
    (root / "dataset.json").unlink()
    first, second = sorted(root.glob("*_task/*"))
    (first / "final_frame.png").unlink()
    (second / "notes.txt").write_text("x")
    return root


@pytest.fixture
def project(run, tmp_path):
    """`project("...")`: what stands under [tool.visprep]."""

    def write(text):
        (tmp_path / "work" / "pyproject.toml").write_text(f'[project]\nname = "mine"\n\n[tool.visprep]\n{text}\n')

    return write


def told(ended):
    return ended.code, sorted(one["code"] for one in json.loads(ended.out)["findings"])


def test_each_setting_counts_and_the_command_line_wins(run, place, project):
    verify = ("verify", place, "--json")
    assert told(run(*verify)) == (1, ["task-file-missing", "unexpected-file"])
    project('layout = "vmevalkit"')
    assert told(run(*verify)) == (0, ["unexpected-file"])
    assert told(run(*verify, "--layout", "template"))[0] == 1
    project('layout = "vmevalkit"\nfail-on = "warning"')
    assert told(run(*verify))[0] == 1
    assert told(run(*verify, "--fail-on", "error"))[0] == 0
    project('select = ["task-file-missing"]')
    assert told(run(*verify)) == (1, ["task-file-missing"])
    assert told(run(*verify, "--select", "unexpected-file")) == (0, ["unexpected-file"])
    project('ignore = ["unexpected-file:*.txt", "task-file-missing"]')
    assert told(run(*verify)) == (0, [])
    assert told(run(*verify, "--ignore", "task-file-missing")) == (0, ["unexpected-file"])


def test_a_project_without_settings(run, place, tmp_path):
    for text in ("", "[tool.other]\nselect = 3\n", "tool = 7\n"):
        (tmp_path / "work/pyproject.toml").write_text(text)
        assert run("verify", place).code == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("layouts = 'template'", "did you mean layout?"),
        ("failon = 'error'", "did you mean fail-on?"),
        ("xyz = 1", "there are: fail-on, ignore, layout, select"),
        ("select = 'frame-mode'", 'such as select = ["frame-mode"]'),
        ("ignore = [1]", "ignore in [tool.visprep] is not a list of strings"),
        ("fail-on = 3", "fail-on in [tool.visprep] is not a string"),
        ("fail-on = 'never'", "'never'"),
        ("layout = 'nowhere'", "'nowhere'"),
        ("select = ['frame-mod']", "did you mean frame-mode?"),
        ("select = [", "not TOML"),
        ("x = " + "[" * 5000 + "]" * 5000, "nested too deep"),
    ],
)
def test_settings_that_make_no_sense(run, place, project, text, words):
    project(text)
    ended = run("verify", place)
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err
    assert "pyproject.toml" in ended.err


def test_a_table_that_is_none_and_a_file_that_cannot_be_read(run, place, tmp_path):
    file = tmp_path / "work" / "pyproject.toml"
    file.write_text("[tool]\nvisprep = 3\n")
    assert run("verify", place).code == 2
    file.write_bytes(b"# \xff\n")
    assert run("verify", place).code == 2
    file.unlink()
    file.mkdir()
    ended = run("verify", place)
    assert (ended.code, "[disk-error]" in ended.err) == (3, True)


def test_a_pipe_of_that_name_is_not_waited_for(run, place, tmp_path):
    os.mkfifo(tmp_path / "work" / "pyproject.toml")
    ended = run("verify", place)
    assert (ended.code, ended.out, "[disk-error]" in ended.err) == (3, "", True)
    assert "not a regular file" in ended.err


def test_it_concerns_verify_alone(run, place, project):
    project("xyz = 1")
    assert run("ls", place).code == 0
