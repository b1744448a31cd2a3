"""The benchmark of the index in small: it says what it is to say; no time is asserted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

SCRIPT = Path(__file__).parents[1] / "scripts/bench_coco_index.py"


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells what a process shares")
def test_it_runs_and_workers_copy_nothing_of_the_index() -> None:
    asked = ["--images=3000", "--annotations=30000", "--there=60", "--workers=2", "--starts=1", "--methods=fork"]
    ended = subprocess.run([sys.executable, SCRIPT, *asked], capture_output=True, text=True, check=False, timeout=100)
    assert ended.returncode == 0, ended.stderr
    assert "3,000 images, 30,000 annotations" in ended.stdout
    assert re.search(r"first start: [\d.]+ s to the first sample; the index has 0\.\d MB", ended.stdout)
    assert re.search(r"later starts: [\d.]+ s", ended.stdout)
    (mapped, private) = re.findall(
        r"ours: .* of that ([\d.]+) of the mapped index, ([\d.]+) of it private", ended.stdout
    )[0]
    assert float(mapped) > 0
    assert float(private) == 0
