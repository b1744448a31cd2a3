"""`visprep --help` against a bare Typer application with the same commands and options: seconds and the ratio.

The bare application is made from ours: the same signatures, with empty bodies. So the difference is what we import.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PAIRS = 15
TARGET = 1.2


def bare_source() -> str:
    """The source of our command line with every body taken out, and nothing of ours imported."""
    from visprep import cli

    source = Path(cli.__file__).read_text()
    kept, skipping = [], False
    for line in source.splitlines():
        if line.startswith(("from visprep", "FINDINGS")):
            continue
        if skipping and (line.startswith(" ") or not line):
            continue
        skipping = False
        kept.append(line)
        if line.startswith((") -> None:", "def demo", "def sources")) and line.endswith(":"):
            kept.append('    """Help."""')
            skipping = True
        if line.startswith("class _Stopped"):
            kept.pop()
            break
    kept.append("app(prog_name='bare')")
    return "\n".join(kept)


def seconds(command: list[str]) -> float:
    """Wall time of one run."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Run both in turn and print the medians and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder, "bare.py")
        bare.write_text(bare_source())
        ours, theirs = [sys.executable, "-m", "visprep", "--help"], [sys.executable, str(bare), "--help"]
        seconds(ours), seconds(theirs)
        pairs = [(seconds(ours), seconds(theirs)) for _ in range(PAIRS)]
    ratio = statistics.median(mine / bare for mine, bare in pairs)
    print(f"visprep --help   {statistics.median(mine for mine, _ in pairs):.3f} s")
    print(f"bare Typer app   {statistics.median(bare for _, bare in pairs):.3f} s")
    print(f"ratio            {ratio:.2f} (target: at most {TARGET}; median of {PAIRS} pairs)")


if __name__ == "__main__":
    main()
