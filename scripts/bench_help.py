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
KEPT = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.Assign, ast.AnnAssign, ast.FunctionDef)
APPLICATION = """
import importlib
import typer

app = typer.Typer(name="bare", no_args_is_help=True, add_completion=False, rich_markup_mode=None)
groups = {groups!r}
for verb in {verbs!r}:
    function = verb.replace("-", "_")
    module = importlib.import_module("bare_" + function)
    if verb not in groups:
        app.command(verb)(getattr(module, function))
        continue
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    group.callback()(getattr(module, verb))
    for name in groups[verb]:
        group.command(name)(getattr(module, name + "_" + verb))
    app.add_typer(group, name=verb)
app(prog_name="bare")
"""


def write_bare(folder: Path) -> Path:
    """The source of our command line with every body taken out, and nothing of ours imported; the file to run."""
    import visprep
    from visprep.cli.application import GROUPS, VERBS

    source = Path(visprep.__file__).parent
    for module in ("options", *(f"cli/{verb.replace('-', '_')}" for verb in VERBS)):
        path = source / f"{module}.py"
        (folder / f"bare_{path.name}").write_text(bare(path.read_text(encoding="utf-8")))
    (folder / "bare.py").write_text(APPLICATION.format(verbs=VERBS, groups=GROUPS))
    return folder / "bare.py"


def bare(text: str) -> str:
    """A module without the bodies of its functions, and without what it imports of ours but the options."""
    kept: list[ast.stmt] = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            node.body = [ast.Expr(ast.Constant(ast.get_docstring(node) or "Nothing."))]
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("visprep"):
            if node.module != "visprep.options":
                continue
            node.module = "bare_options"
        if isinstance(node, KEPT):
            kept.append(node)
    return ast.unparse(ast.fix_missing_locations(ast.Module(kept, [])))


def seconds(command: list[str]) -> float:
    """Wall time of one run."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Run both in turn and print the medians and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        ours = [sys.executable, "-m", "visprep", "--help"]
        theirs = [sys.executable, str(write_bare(Path(folder))), "--help"]
        seconds(ours), seconds(theirs)
        pairs = [(seconds(ours), seconds(theirs)) for _ in range(PAIRS)]
    ratio = statistics.median(mine / bare for mine, bare in pairs)
    print(f"visprep --help   {statistics.median(mine for mine, _ in pairs):.3f} s")
    print(f"bare Typer app   {statistics.median(bare for _, bare in pairs):.3f} s")
    print(f"ratio            {ratio:.2f} (target: at most {TARGET}; median of {PAIRS} pairs)")


if __name__ == "__main__":
    main()
