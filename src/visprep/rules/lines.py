"""One finding of all that a rule says of the lines of one file: a file that is wrong throughout is one fault."""

from __future__ import annotations

from visprep.findings import Finding
from visprep.rules import Rule

#: A rule, the line that it speaks of, and what it says.
Said = tuple[Rule, int, str]
_SHOWN = 10


def together(said: list[Said], path: str, **where: object) -> Finding:
    """One finding of all that one rule says of a file, with the lines of the first ten."""
    rule, line, words = said[0]
    lines = list(dict.fromkeys(number for _, number, _ in said))
    more = f"; and {len(said) - 1} more" if len(said) > 1 else ""
    shown = {"lines": lines[:_SHOWN], "count": len(said)} if len(said) > 1 else {}
    return rule.at(path, f"line {line}: {words}{more}", line=line, **shown, **where)
