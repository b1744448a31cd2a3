"""The guide to rebuild: its commands run, in order, against a mirror, and what it says is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from doc_pages import commands

GUIDE = (Path(__file__).parents[1] / "docs/rebuild.md").read_text()
COMMANDS = commands(GUIDE)


def test_its_commands_and_its_python_run(run, coco_mirror, tmp_path, capsys):
    assert len(COMMANDS) == 6
    said = []
    for line in COMMANDS:
        _, *words = shlex.split(line)
        if words[0] == "download":
            words += ["--mirror", coco_mirror.url, "--checksums", str(tmp_path / "upstream/SHA256SUMS")]
        ended = run(*words)
        assert ended.code == 0, f"{line}: {ended.out}{ended.err}"
        said.append(ended.out)
    assert [line.partition(":")[0] for line in said[2].splitlines()] == ["would do", "would do"]
    assert [out.startswith("the same: ") for out in said[3:]] == [True] * 3
    (block,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    exec(block, {})
    assert capsys.readouterr().out == "True 0 ['download', 'convert']\n"


def test_its_options_are_those_of_the_command(run):
    helped = run("rebuild", "--help").out
    others = {"--include", "--exclude", "--ids", "--depth"}
    named = set(re.findall(r"`(--[a-z-]+)", GUIDE)) - others
    assert [option for option in sorted(named) if option not in helped] == []
