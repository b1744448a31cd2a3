"""What a project says once for all its runs: `[tool.visprep]` in the pyproject.toml of the working directory."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visprep.errors import DiskError, UnknownName, UsageError, did_you_mean

if TYPE_CHECKING:
    from visprep.verify_memory import VerifyMemory

FILE = "pyproject.toml"

#: What may be set, and what holds where nothing says otherwise.
DEFAULTS: dict[str, Any] = {"fail-on": "error", "ignore": (), "layout": "template", "select": ()}


def options(
    *, select: Sequence[str] | None, ignore: Sequence[str] | None, fail_on: str | None, layout: str | None
) -> dict[str, Any]:
    """The options of verify, by parameter: as given; what was not given, as the project has it; else the default.

    UsageError when the project's settings make no sense.
    """
    given = {"select": select, "ignore": ignore, "fail-on": fail_on, "layout": layout}
    settings = DEFAULTS | _settings(Path(FILE)) | {key: value for key, value in given.items() if value}
    return {key.replace("-", "_"): value for key, value in settings.items()}


def verify_memory() -> VerifyMemory:
    """Where verify notes what it found: below XDG_CACHE_HOME, else ~/.cache."""
    from visprep.verify_memory import VerifyMemory

    given = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(given) if Path(given).is_absolute() else Path.home() / ".cache"
    return VerifyMemory(home / "visprep" / "verify")


def _settings(file: Path) -> dict[str, Any]:
    try:
        if file.exists() and not file.is_file():  # a pipe that nobody writes to would be waited for
            raise DiskError(f"{FILE}: not a regular file", hint="move it away, or run visprep in another directory")
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise DiskError(f"{FILE}: {(error.strerror or str(error)).lower()}") from None
    except RecursionError:
        raise UsageError(f"{FILE}: nested too deep to read") from None
    except ValueError as problem:  # not TOML, or not UTF-8
        raise UsageError(f"{FILE}: not TOML: {problem}") from None
    tool = document.get("tool", {})
    table = tool.get("visprep", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise UsageError(f"{FILE}: tool.visprep is not a table", hint="write [tool.visprep] on a line of its own")
    for key, value in table.items():
        _check(key, value)
    return table


def _check(key: str, value: Any) -> None:
    if key not in DEFAULTS:
        raise UsageError(f"{FILE}: [tool.visprep] knows no {key!r}", hint=did_you_mean(key, DEFAULTS))
    if isinstance(DEFAULTS[key], str):
        sound, kind = isinstance(value, str), "a string"
    else:
        sound, kind = isinstance(value, list) and all(isinstance(one, str) for one in value), "a list of strings"
    if not sound:
        raise UsageError(f"{FILE}: {key} in [tool.visprep] is not {kind}", hint=f"such as {_EXAMPLES[key]}")
    try:
        _understand(key, value)
    except UnknownName as problem:  # as the command line says it; here it must be said where it stands
        raise UnknownName(f"{FILE}: {key} in [tool.visprep]: {problem.message}", hint=problem.hint) from None


def _understand(key: str, value: Any) -> None:
    """UnknownName for names that there are not."""
    from visprep._verify import LEVELS
    from visprep.formats.tasks import layout
    from visprep.rules.all_rules import RULES
    from visprep.selection import selection

    if key == "layout":
        layout(value)
    elif key == "fail-on" and value not in LEVELS:
        raise UnknownName(f"{value!r} is not a level to fail on", hint=did_you_mean(value, LEVELS))
    elif key in ("select", "ignore"):
        selection(value, (), RULES)


_EXAMPLES = {
    "fail-on": 'fail-on = "warning"',
    "ignore": 'ignore = ["unexpected-file:*.txt"]',
    "layout": 'layout = "vmevalkit"',
    "select": 'select = ["frame-mode"]',
}
