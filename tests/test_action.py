"""The action and the hook that others use, run as their runners do, installed into clean places; and docs/ci.md."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
import yaml

from report_readers import commands, from_github
from visprep.configuration import DEFAULTS
from visprep.render import RENDERERS

ROOT = Path(__file__).parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
DOCS = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")

Ended = namedtuple("Ended", "code out err")


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """This repository as others get it: no environment, no data, no history."""
    copy = tmp_path_factory.mktemp("visprep") / "visprep"
    shutil.copytree(
        ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", "data", ".*cache", "__pycache__", "*.egg-info")
    )
    return copy


@pytest.fixture
def sample(run, tmp_path):
    """`work/data/q`, with six sound tasks; `work` is the working directory."""
    run("download", "sample", "--limit", "6", "--output", tmp_path / "work" / "data" / "q")
    return tmp_path / "work"


def call(command, cwd, **environment):
    # What is installed must run, not what the tests import; with the versions that the tests have, and no bytecode,
    # which would take as long as all the rest
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    pip = {"PIP_CONSTRAINT": str(ROOT / "constraints.txt"), "PIP_NO_COMPILE": "1"}
    given = inherited | pip | environment
    ended = subprocess.run(command, cwd=cwd, env=given, capture_output=True, text=True, check=False)
    return Ended(ended.returncode, ended.stdout, ended.stderr)


# The action


def filled(text, inputs, repository):
    """A value of the action with its expressions replaced, as the runner replaces them."""

    def value(match):
        return str(repository) if match[1] == "github.action_path" else inputs[match[1].removeprefix("inputs.")]

    return re.sub(r"\$\{\{ *([a-z._]+) *\}\}", value, text)


def step(number, repository, temporary, workspace, **inputs):
    """Run one step as the runner runs `shell: bash`."""
    given = {name: one.get("default", "") for name, one in ACTION["inputs"].items()} | inputs
    chosen = ACTION["runs"]["steps"][number]
    script = temporary / "step.sh"
    script.write_text(filled(chosen["run"], given, repository))
    environment = {name: filled(text, given, repository) for name, text in chosen["env"].items()}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", script]
    return call(command, workspace, RUNNER_TEMP=str(temporary), **environment)


@pytest.fixture(scope="module")
def installed(repository, tmp_path_factory):
    """The runner's temporary directory after the first step."""
    temporary = tmp_path_factory.mktemp("a runner")
    ended = step(0, repository, temporary, temporary, path="unused", python=sys.executable)
    assert (ended.code, ended.out) == (0, ""), ended.err
    return temporary


def test_the_action_is_made_of_run_steps():
    assert ACTION["runs"]["using"] == "composite"
    for one in ACTION["runs"]["steps"]:
        assert set(one) == {"name", "shell", "env", "run"}
        assert one["shell"] == "bash"
        assert "${{" not in one["run"]  # what is written into a script is run
    used = set(re.findall(r"\$\{\{ *inputs\.(\w+)", str(ACTION)))
    assert used == set(ACTION["inputs"])
    for one in ACTION["inputs"].values():
        assert one["description"]
        assert one["required"] is not ("default" in one)


def test_the_action_passes_for_sound_data(repository, installed, sample):
    ended = step(1, repository, installed, sample, path="data/q")
    assert (ended.code, list(commands(ended.out))) == (0, [])
    assert "6 tasks" in ended.out


def test_the_action_annotates_the_files_and_fails(repository, installed, sample):
    frame = sorted((sample / "data/q").glob("*_task/*/final_frame.png"))[0]
    frame.unlink()
    ended = step(1, repository, installed, sample, path="data/q")
    (found,) = from_github(ended.out)
    assert (ended.code, found.code, found.level) == (1, "task-file-missing", "error")
    assert found.path == frame.relative_to(sample).as_posix()


def test_the_action_hands_on_options_and_no_commands(repository, installed, sample):
    sorted((sample / "data/q").glob("*_task/*/final_frame.png"))[0].unlink()
    options = "--ignore task-file-missing\n  --report out.sarif --format sarif --select task-file-missing:*\n"
    ended = step(1, repository, installed, sample, path="data/q", args=options)
    assert (ended.code, (sample / "out.sarif").read_text()[:1]) == (0, "{")
    for path, args in (("$(touch bad)", ""), ("--help", ""), ("data/q", "; touch bad"), ("data/q", "$(touch bad)")):
        assert step(1, repository, installed, sample, path=path, args=args).code in (2, 3)
    assert not (sample / "bad").exists()


def test_the_action_says_when_python_is_too_old(repository, tmp_path):
    ended = step(0, repository, tmp_path, tmp_path, path="unused", python="false")
    ((level, _, message),) = commands(ended.out)
    assert (ended.code, level) == (3, "error")
    assert "setup-python" in message


def test_the_action_installs_what_it_is_told_to(repository, tmp_path):
    (tmp_path / "python").write_text(
        '#!/bin/sh\nmkdir -p "$3/bin"; echo "echo \\"\\$@\\"" > "$3/bin/python"; chmod +x "$3"/bin/*\n'
    )
    (tmp_path / "python").chmod(0o755)
    for inputs, what in (
        ({}, str(repository)),
        ({"extras": "video,hf"}, f"{repository}[video,hf]"),
        ({"version": "0.1.0"}, "visprep==0.1.0"),
        ({"version": "0.1.0", "extras": "video"}, "visprep[video]==0.1.0"),
    ):
        ended = step(0, repository, tmp_path, tmp_path, path="unused", python=str(tmp_path / "python"), **inputs)
        assert (ended.code, ended.out.split()[-1]) == (0, what), ended.err


# The hook


@pytest.fixture(scope="module")
def required(installed, tmp_path_factory):
    """A directory with what visprep requires, as the action had it installed, and without visprep itself."""
    folder = tmp_path_factory.mktemp("required")
    (site,) = (installed / "visprep").glob("lib/python*/site-packages")
    for one in site.iterdir():
        if not one.name.startswith(("visprep", "pip", "_visprep")):
            (folder / one.name).symlink_to(one)
    return folder


@pytest.fixture
def committing(repository, required, sample, tmp_path, monkeypatch):
    """`committing("message")` commits all of `work` with the hook in place; the hook's repository is a local clone.

    What visprep requires is there already: pip sees so, and installs visprep alone.
    """
    for name, value in (
        ("GIT_CONFIG_GLOBAL", os.devnull),
        ("GIT_AUTHOR_NAME", "Tester"),
        ("GIT_AUTHOR_EMAIL", "tester@example.org"),
        ("GIT_COMMITTER_NAME", "Tester"),
        ("GIT_COMMITTER_EMAIL", "tester@example.org"),
        ("PRE_COMMIT_HOME", str(tmp_path / "pre-commit")),
    ):
        monkeypatch.setenv(name, value)
    for directory in (repository, sample):
        if not (directory / ".git").exists():
            assert call(["git", "init", "--quiet"], directory).code == 0
    call(["git", "add", "--all"], repository)
    call(["git", "commit", "--quiet", "--message", "all"], repository)
    revision = call(["git", "rev-parse", "HEAD"], repository).out.strip()
    (example,) = [one for one in map(yaml.safe_load, blocks("yaml")) if "repos" in one]
    (used,) = example["repos"]
    used |= {"repo": str(repository), "rev": revision}
    used["hooks"][0]["args"] = ["data/q" if one == "data/questions" else one for one in used["hooks"][0]["args"]]
    (sample / ".pre-commit-config.yaml").write_text(yaml.safe_dump(example))
    assert call([sys.executable, "-m", "pre_commit", "install"], sample).code == 0

    def commit(message):
        call(["git", "add", "--all"], sample)
        return call(["git", "commit", "--message", message], sample, PYTHONPATH=str(required))

    return commit


def blocks(language):
    """The code blocks of docs/ci.md in one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)


def test_the_hook_checks_tasks_when_they_are_committed(committing, sample):
    ended = committing("sound")
    assert ended.code == 0, ended
    assert "visprep verify" in ended.err
    (sample / "readme.md").write_text("x")
    assert "Skipped" in committing("no task").err
    sorted((sample / "data/q").glob("*_task/*/prompt.txt"))[0].write_bytes(b"")
    ended = committing("damaged")
    assert ended.code == 1
    assert "[prompt-empty]" in ended.err


# What docs/ci.md says


def test_the_example_workflow_uses_the_action_as_it_is():
    workflows = [one for one in map(yaml.safe_load, blocks("yaml")) if "jobs" in one]
    assert workflows
    for workflow in workflows:
        steps = [one for job in workflow["jobs"].values() for one in job["steps"]]
        ours = [one for one in steps if one.get("uses", "").split("@")[0].endswith("/visprep")]
        assert ours
        for one in ours:
            assert set(one["with"]) <= set(ACTION["inputs"])
            assert one["with"]["path"]


def test_the_commands_of_the_page_run_in_a_project_with_its_settings(run, sample):
    (sample / "data/q").rename(sample / "data/questions")
    (settings,) = blocks("toml")
    (sample / "pyproject.toml").write_text(settings)
    assert all(f"\n{key} = " in settings for key in DEFAULTS)
    identity = ("-c", "user.name=Tester", "-c", "user.email=tester@example.org")
    for words in (
        ("init", "-q"),
        ("add", "."),
        ("commit", "-qm", "all"),
        ("update-ref", "refs/remotes/origin/main", "HEAD"),
    ):
        assert call(["git", *identity, *words], sample).code == 0
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) >= 7
    for line in lines:
        program, *arguments = shlex.split(line)
        ended = run(*arguments)
        assert (program, ended.code) == ("visprep", 0), f"{line}: {ended.err}"


def test_the_page_names_every_format_and_input():
    named = re.findall(r"^\| `(\w+)` \|", DOCS, re.MULTILINE)
    assert sorted(named) == sorted((*RENDERERS, *ACTION["inputs"]))


def test_every_link_of_the_page_leads_somewhere():
    anchors = {line.lstrip("# ").lower().replace(" ", "-") for line in DOCS.splitlines() if line.startswith("#")}
    assert set(re.findall(r"\]\(#([^)]+)\)", DOCS)) <= anchors
