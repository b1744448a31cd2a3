"""The guide to training: its commands and its code run, in order, as they stand."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

GUIDE = (Path(__file__).parents[1] / "docs/train.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
#: Blocks that are no code, but show how something is called.
SIGNATURE = re.compile(r"\w+\(.*\.\.\.\)\n", re.DOTALL)


def test_it_runs(run: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "guide"}
    ran = 0
    for language, code in BLOCKS:
        if language == "python" and not SIGNATURE.fullmatch(code):
            exec(compile(code, "docs/train.md", "exec"), names)
            ran += 1
        for line in code.splitlines() if language == "sh" else ():
            if line.startswith("visprep "):
                assert run(*shlex.split(line)[1:]).code == 0, line
    assert ran >= 2
    assert "file_name" not in capsys.readouterr().err


def test_its_links_lead_to_headings() -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in re.findall(r"^#+ (.*)$", GUIDE, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", GUIDE)) <= headings
