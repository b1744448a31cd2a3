"""What the source itself says, for tests that hold documents against it."""

from __future__ import annotations

import ast
import re


def variables(path):
    """The names of environment variables in a file that reads the environment."""
    source = path.read_text(encoding="utf-8")
    if not re.search(r"os\.environ|getenv|envvar", source):
        return set()
    nodes = list(ast.walk(ast.parse(source)))
    shown = {node.value for node in nodes if isinstance(node, ast.keyword) and node.arg == "metavar"}
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and node not in shown]
    return {text for text in texts if isinstance(text, str) and re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+", text)}
