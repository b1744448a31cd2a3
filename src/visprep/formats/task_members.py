"""The files of tasks as the members of a WebDataset, and back: `{directory}/{id}.{name of the file}`.

Readers of WebDatasets take for the key of a sample all before the first dot of a name, and what follows in lower case
for the name of a field. What stands in the way of that is percent-encoded: dots of the id, slashes in the name of a
file, all of a name that is another one's but for its case, and `%` itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote

from visprep.formats.tasks import FIRST_FRAME, PROMPT


def key_of(path: str) -> str:
    """The key of the task whose directory is `path`."""
    home, slash, last = path.rpartition("/")
    return f"{home}{slash}{last.replace('%', '%25').replace('.', '%2E')}"


def fields_of(names: Iterable[str]) -> dict[str, str]:
    """The names of the fields that hold the files of a task, by name of the file, in order of these."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in sorted(names):
        field = name.replace("%", "%25").replace("/", "%2F")
        if field.lower() in taken:
            field = "".join(f"%{byte:02X}" for byte in name.encode())
        taken.add(field.lower())
        found[name] = field
    return found


def file_of(member: str) -> tuple[str, str] | None:
    """The directory of a task, and the name of its file, that a member is; None for one that is of no sample."""
    home, slash, last = member.rpartition("/")
    key, dot, field = last.partition(".")
    if not key or not dot or not field:
        return None
    return f"{home}{slash}{_plain(key)}", _plain(field)


def _plain(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:  # another tool means the percent sign itself
        return text


def is_task(name: str) -> bool:
    """Whether a file of this name makes a sample look like a task."""
    return name in (FIRST_FRAME, PROMPT)
