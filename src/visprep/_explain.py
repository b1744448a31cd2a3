"""`explain`: what a finding or an error means, why it matters, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from visprep import errors
from visprep.error_pages import PAGES
from visprep.rules.all_rules import RULES


@dataclass(frozen=True, slots=True)
class Page:
    """The page of one code.

    `kind` is `finding` or `error`. Findings have a `level`, the `depth` from which they are seen, a `bad` case, and a
    `near` miss that is none; errors have the `exit_code` with which the command line ends.
    """

    code: str
    kind: str
    what: str
    why: str
    fix: str
    level: str | None = None
    depth: str | None = None
    exit_code: int | None = None
    bad: str | None = None
    near: str | None = None


def explain(code: str | None = None) -> tuple[Page, ...]:
    """The pages of a code, or of all codes: findings first, each kind sorted by code.

    A code has two pages where a finding and an error share it: `file-missing` says one thing of data, and another
    of a command. UnknownName, with the nearest code, when there is no such code.
    """
    pages = (*_findings(), *_errors())
    if code is None:
        return pages
    wanted = code.strip().strip("[]").lower()  # as it stands at the end of a message, too
    found = tuple(page for page in pages if page.code == wanted)
    if not found:
        close = errors.close_to(wanted, [page.code for page in pages])
        hint = f"did you mean {close}?" if close else "`visprep explain` lists all codes"
        raise errors.UnknownName(f"there is no finding or error {code!r}", hint=hint)
    return found


def _findings() -> Iterator[Page]:
    for rule in RULES.values():
        seen = rule.level.value, rule.depth.value
        yield Page(rule.code, "finding", rule.what, rule.why, rule.fix, *seen, bad=rule.bad, near=rule.near)


def _errors() -> Iterator[Page]:
    for error in sorted(_classes(errors.VisprepError), key=lambda error: error.slug):
        page = PAGES[error.slug]
        yield Page(error.slug, "error", page.what, page.why, page.fix, exit_code=error.exit_code)


def _classes(error: type[errors.VisprepError]) -> Iterator[type[errors.VisprepError]]:
    """The public ones: what a single module needs for itself is a kind of them, with the same slug."""
    yield error
    for child in error.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _classes(child)
