"""What share of branches the tests take: `python branches_taken.py coverage.json`, of coverage.py's JSON report.

A branch is a way that a line can go on: an `if` has two. Printed are the totals, and every module below 90 %.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ENOUGH = 90.0


def share(part: int, whole: int) -> float:
    """Percent; of nothing, all."""
    return 100 * part / whole if whole else 100.0


def branches(summary: dict[str, Any]) -> float:
    """Percent of the branches that were taken."""
    return share(summary["covered_branches"], summary["num_branches"])


def table(report: dict[str, Any]) -> str:
    """Totals, and a Markdown table of the modules below."""
    total = report["totals"]
    statements = share(total["covered_lines"], total["num_statements"])
    modules = {path.partition("src/")[2]: file["summary"] for path, file in report["files"].items()}
    below = sorted((branches(one), path, one) for path, one in modules.items() if branches(one) < ENOUGH)
    rows = [
        f"| `{path}` | {taken:.0f} % | {one['missing_branches']} of {one['num_branches']} |"
        for taken, path, one in below
    ]
    totals = [
        f"{branches(total):.1f} % of {total['num_branches']:,} branches",
        f"{statements:.1f} % of {total['num_statements']:,} statements",
        f"{total['percent_covered']:.1f} % of both",
    ]
    return "\n".join(
        [
            f"{', '.join(totals)}. {len(below)} of {len(modules)} modules take less than {ENOUGH:.0f} % of theirs.",
            "",
            "| Module | Branches taken | Not taken |",
            "|---|---|---|",
            *rows,
        ]
    )


if __name__ == "__main__":
    print(table(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
