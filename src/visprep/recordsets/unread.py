"""What cleaning says of a file that could not be read, which says nothing of the record."""

from __future__ import annotations

from visprep.errors import DiskError, UnsafePath
from visprep.findings import Finding


def not_judged(finding: Finding) -> DiskError:
    """The error to end with: the finding's words, its path in them once, and what to do."""
    words = finding.message if finding.message.startswith(finding.path) else f"{finding.path}: {finding.message}"
    if finding.where.get("error") == UnsafePath.slug:  # as often as it is tried, it leads out of the place
        return DiskError(words, hint=finding.hint)
    return DiskError(words, hint="it must be read to tell whether it is good: try again")
