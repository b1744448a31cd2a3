"""What scripts may rely on, as a list, which docs/deprecation.md is about. `--write` notes it down, for a release."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import typer.main

import visprep
from visprep import cli, errors
from visprep.cli.application import commands_of
from visprep.rules.all_rules import RULES

NOTED = Path(__file__).parents[1] / "docs" / "contract.json"


def contract() -> dict[str, Any]:
    """Every command with its options, finding with its level, error with its exit code, and name of the library."""
    commands = commands_of(typer.main.get_command(cli.app))
    options = {
        name: " ".join(sorted({word for one in command.params for word in one.opts if word.startswith("-")}))
        for name, command in commands.items()
    }
    return {
        "commands": dict(sorted(options.items())),
        "findings": {rule.code: str(rule.level) for rule in sorted(RULES.values(), key=lambda rule: rule.code)},
        "errors": {error.slug: error.exit_code for error in sorted(_errors(), key=lambda error: error.slug)},
        "names": visprep.__all__,
    }


def _errors(cls: type[errors.VisprepError] = errors.VisprepError) -> list[type[errors.VisprepError]]:
    children = [child for child in cls.__subclasses__() if child.__module__ == errors.__name__]
    return [cls, *(found for child in children for found in _errors(child))]


if __name__ == "__main__":
    text = json.dumps(contract(), indent=1) + "\n"
    if "--write" in sys.argv:
        NOTED.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
