"""The guide to gather: its commands run, in order, against a mirror, and what it says is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from doc_pages import commands

GUIDE = (Path(__file__).parents[1] / "docs/gather.md").read_text()
COMMANDS = commands(GUIDE)


def test_its_commands_run(run, coco_mirror, tmp_path, monkeypatch):
    assert len(COMMANDS) == 7
    for line in COMMANDS:
        program, *words = shlex.split(line)
        if program == "export":
            for word in words:
                monkeypatch.setenv(*word.split("="))
            continue
        if words[:2] == ["gather", "coco"]:
            words += ["--mirror", coco_mirror.url, "--checksums", str(tmp_path / "upstream/SHA256SUMS")]
        ended = run(*words)
        assert ended.code == 0, f"{line}: {ended.out}{ended.err}"
    work = tmp_path / "work"
    assert {path.name for path in (work / "data/cleaned_splits").glob("*.json")} == {
        *(f"maxsight_{part}.json" for part in ("train", "val", "test")),
        *("split.json", "dataset.json"),
    }
    assert (work / "drive/MyDrive/cleaned_splits/maxsight_train.json").is_file()


def test_its_python_runs(run, tmp_path, capsys):
    (block,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    exec(block, {})
    assert capsys.readouterr().out == "{'train': 16, 'test': 16} {'train.txt': 'train', 'test.txt': 'test'} None\n"


def test_its_options_are_those_of_the_command(run):
    helped = run("gather", "--help").out
    named = set(re.findall(r"`(--[a-z-]+)", GUIDE)) - {"--vfs-cache-mode", "--undo"}
    assert [option for option in sorted(named) if option not in helped] == []
