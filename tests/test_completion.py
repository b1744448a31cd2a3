"""Shell completion: what may stand next on a command line, and the scripts that ask for it."""

import os
import shutil
import subprocess
import sys

import pytest

from test_taste import HEAVY
from visprep import list_sources
from visprep.cli.application import VERBS
from visprep.cli.completing import SCRIPTS
from visprep.formats.tasks import LAYOUTS
from visprep.rules.all_rules import RULES


@pytest.fixture
def complete(run):
    """The candidates for a line."""

    def asked(line):
        ended = run("__complete", line)
        assert (ended.code, ended.err) == (0, "")
        return [one.partition("\t")[0] for one in ended.out.splitlines()]

    return asked


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("visprep do", ["doctor", "download"]),
        ("visprep --ver", ["--version"]),
        ("visprep --completion ", ["bash", "fish", "zsh"]),
        ("visprep runs p", ["pull", "push"]),
        ("visprep runs pull s3://b/p --only t", ["tensorboard"]),
        ("visprep verify place --format s", ["sarif"]),
        ("visprep verify place --format=s", ["--format=sarif"]),
        ("visprep verify place --no-s", ["--no-sign-request"]),
        ("visprep verify place --select frame-m", ["frame-mode"]),
        ("visprep verify 'a place' --layout v", ["vbvr", "vmevalkit"]),
        ("visprep explain would", ["would-overwrite"]),
        ("visprep download vid", ["videothinkbench"]),
        ("visprep download sample --config v", ["vton"]),
        ("visprep download coco --split val2017,unl", ["val2017,unlabeled2017"]),
        ("visprep download --quiet sample --config v", ["vton"]),
        ("visprep download no-such --split ", []),
        ("visprep download ./pla", []),  # no source: a file may stand there, which is the shell's business
        ("visprep ls da", []),
        ("visprep ls place --log ", []),
        ("visprep ls 'an open quo", []),
        ("visprep no-such-verb ", []),
    ],
)
def test_candidates(complete, line, found):
    assert complete(line) == found


def test_verbs_come_in_their_order_with_what_they_do(run, complete):
    assert complete("visprep ") == [one for one in VERBS if one != "runs"] + ["runs"]
    assert "Download a source" in run("__complete", "visprep down").out


def test_names_are_those_that_there_are(complete):
    assert sorted(complete("visprep verify --ignore ")) == sorted(RULES)
    assert complete("visprep verify --layout ") == sorted(LAYOUTS)
    assert [one for one in complete("visprep download ") if one != "hf:"] == [
        one.name for one in list_sources() if ":" not in one.name
    ]


@pytest.mark.parametrize(
    ("line", "heavy"),
    [
        ("visprep ", HEAVY),
        ("visprep download ", HEAVY),
        ("visprep verify --layout ", HEAVY),
        ("visprep explain ", set(HEAVY) - {"PIL", "msgspec", "numpy", "pycurl"}),  # what rules look with
    ],
)
def test_a_finger_on_the_tab_key_waits_for_nothing_heavy(line, heavy):
    code = f"""
import sys
from visprep.cli import main
try:
    main(["__complete", {line!r}])
except SystemExit:
    pass
sys.stderr.write(' '.join(name for name in {heavy!r} if name in sys.modules))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (ended.stderr, bool(ended.stdout)) == ("", True)


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_script_is_one_that_its_shell_can_read(run, tmp_path, shell):
    ended = run("--completion", shell)
    assert (ended.code, ended.err) == (0, "")
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not on this machine")
    (tmp_path / "script").write_text(ended.out)
    subprocess.run([shell, "-n", tmp_path / "script"], check=True)


def test_a_shell_that_we_have_no_script_for(run):
    ended = run("--completion", "tcsh")
    assert (ended.code, ended.out) == (2, "")
    assert "[unknown-name]" in ended.err


def test_bash_completes_words_with_colons_and_equals_signs(run, tmp_path):
    script = run("--completion", "bash").out
    command = tmp_path / "visprep"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m visprep "$@"\n')
    command.chmod(0o755)
    asking = """
ask() {
    COMP_LINE="$1" COMP_POINT=${#1} COMPREPLY=()
    COMP_WORDS=($2) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _visprep
    echo "${COMPREPLY[*]}"
}
ask "visprep do" "visprep do"
ask "visprep verify x --format=s" "visprep verify x --format = s"
ask "visprep ls s3://b" "visprep ls s3 : //b"
"""
    ended = subprocess.run(
        ["bash", "-c", script + asking], env=os.environ | {"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (ended.stdout.splitlines(), ended.stderr) == (["doctor download", "sarif", ""], "")
