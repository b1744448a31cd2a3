"""docs/findings.md and docs/errors.md, written from the rules and the pages of errors; `--check` only compares.

`python scripts/make_docs.py` writes them. With `--check` it exits 1 when one is not as it would be written.
"""

from __future__ import annotations

import sys
from pathlib import Path

import visprep

DOCS = Path(__file__).parents[1] / "docs"
MADE = "<!-- Made by scripts/make_docs.py: change the rule or the page there, and run it again. -->"
INTROS = {
    "finding": (
        "Findings",
        "What `visprep verify` may find wrong with data. A finding is seen from its depth on, and only those of level\n"
        "`error` make the exit code 1. Each has a bad case, the least that it takes, and one that comes close and is\n"
        "none; tests show both. `visprep explain CODE` shows the same page.",
    ),
    "error": (
        "Errors",
        "Why visprep could not look or could not act. The slug ends the message, in brackets; in Python it\n"
        "is the `slug` of the exception. `visprep explain CODE` shows the same page.",
    ),
}


def documents() -> dict[str, str]:
    """File name -> its text."""
    return {f"{kind}s.md": document(kind) for kind in INTROS}


def document(kind: str) -> str:
    """All pages of one kind, as Markdown."""
    title, intro = INTROS[kind]
    pages = [page for page in visprep.explain() if page.kind == kind]
    return "\n".join([f"# {title}", "", MADE, "", intro, "", *(section(page) for page in pages)])


def section(page: visprep.Page) -> str:
    """One page, as Markdown."""
    facts = f"exit code {page.exit_code}" if page.kind == "error" else f"{page.level}, from depth `{page.depth}`"
    why = "Why" if page.kind == "error" else "Why it matters"
    cases = [f"Bad: {page.bad}", f"Not bad: {page.near}"] if page.bad else []
    body = [page.what, f"{why}: {page.why}", f"What to do: {page.fix}.", *cases]
    return "\n".join([f"## `{page.code}`", "", f"*{facts}*", "", *(f"{line}\n" for line in body)])


def main(arguments: list[str]) -> int:
    """Write, or compare; the exit code."""
    stale = []
    for name, text in documents().items():
        path = DOCS / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(f"docs/{name}")
        if "--check" not in arguments:
            DOCS.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale and "--check" in arguments:
        print(f"not as the code says: {', '.join(stale)}; run python scripts/make_docs.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
