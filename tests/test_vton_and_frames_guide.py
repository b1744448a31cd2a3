"""The guide to triplets and frames: its commands run, in order, and its tables have the rules that there are."""

import re
import shlex
from pathlib import Path

from doc_pages import commands
from visprep.rules import Depth, episodes, triplets

GUIDE = (Path(__file__).parents[1] / "docs/vton-and-frames.md").read_text()
COMMANDS = commands(GUIDE)


def test_its_commands_run(run):
    assert len(COMMANDS) == 6
    for line in COMMANDS:
        ended = run(*shlex.split(line)[1:])
        assert ended.code == 0, f"{line}: {ended.err}"
        if " verify " in line:
            assert "no findings" in ended.out


def test_its_tables_have_every_rule():
    told = set(re.findall(r"^\| `([a-z-]+)` \| .*$", GUIDE, re.MULTILINE))
    depths = set(map(str, Depth))
    assert told - depths == {rule.code for rule in (*triplets.RULES, *episodes.RULES)}


def test_levels_are_told_where_they_are_not_errors():
    for rule in (*triplets.RULES, *episodes.RULES):
        (line,) = re.findall(rf"^\| `{rule.code}` \| .*$", GUIDE, re.MULTILINE)
        assert (f"(a {rule.level.value})" in line) == (rule.level.value != "error")
