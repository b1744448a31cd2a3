"""`scripts/bench_runs.py` where something is missing: a line that says so, not a traceback."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts/bench_runs.py"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`bench(...)` with these options -> what it ends with."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")

    def call(*options: str) -> Any:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--gigabytes", "0.0001", *options])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        return ended.value.code

    return call


def test_nobody_listens(
    bench: Callable[..., Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("boto3", reason="what is raced against")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert bench("--endpoint", "http://127.0.0.1:9") == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "127.0.0.1:9" in line


def test_a_peer_that_is_not_installed(bench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="torch is in the torch extra")
    monkeypatch.setitem(sys.modules, "s3torchconnector", None)
    told = bench("--endpoint", "http://127.0.0.1:9", "--way", "s3torchconnector")
    assert told == "s3torchconnector: s3torchconnector is not installed"
