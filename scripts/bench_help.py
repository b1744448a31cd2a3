"""`visprep --help` against a bare Typer application with the same commands and options: seconds and the ratio.

The bare application is made from ours: the same signatures, with empty bodies. So the difference is what we import.
"""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PAIRS = 15
TARGET = 1.2
#: What of our modules a bare application needs: imports, choices, options, and the commands' signatures.
KEPT = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.Assign, ast.FunctionDef)


def bare_source() -> str:
    """The source of our command line with every body taken out, and nothing of ours imported."""
    from visprep import cli, options

    kept: list[ast.stmt] = []
    for module in (options, cli):
        for node in ast.parse(Path(module.__file__).read_text()).body:
            ours = isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("visprep", "__future__"))
            if isinstance(node, ast.FunctionDef):
                node.body = [ast.Expr(ast.Constant(ast.get_docstring(node) or "Nothing."))]
            if not ours and isinstance(node, KEPT):
                kept.append(node)
    lines = ast.unparse(ast.fix_missing_locations(ast.Module(kept, [])))
    return f"from __future__ import annotations\n{lines}\napp(prog_name='bare')\n"


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
