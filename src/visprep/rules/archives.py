"""The rules of archives: what a zip file says of its members that keeps them from being unpacked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from visprep.findings import Finding, Level
from visprep.rules import Depth, Rule
from visprep.stores.zip_directory import Member

MEMBER_REFUSED = Rule(
    "member-refused",
    Level.ERROR,
    Depth.NAMES,
    "A member of an archive cannot be unpacked: its name leads out of the place, or it is no plain file of its own.",
    "Download leaves it out; other tools write it to where nobody expects it, take one of several, or stop there.",
    "pack the archive again from plain files with names of their own, or get it again where it came from",
    bad="A member of the zip is called ../../first_frame.png.",
    near="A member is called ..first_frame.png: two dots that are part of a name.",
)

RULES: tuple[Rule, ...] = (MEMBER_REFUSED,)


def check(members: Iterable[Member]) -> Iterator[Finding]:
    """A finding for each member that an archive's directory gives a reason not to read."""
    for member in members:
        plain = member.path.endswith("/") and not (member.fault and member.fault.astray)  # a directory holds nothing
        if member.fault and not plain:
            yield MEMBER_REFUSED.at(member.path, member.fault.message, error=member.fault.kind.slug)
