"""A task as a row of a table, and back: the columns, what the `datasets` library is told of them, and the card.

The columns have the names that `visprep download hf:ORG/NAME` takes without being asked. What no column can hold to the
byte, and files that have no column, stand in `files`; a name that stands there counts, whatever the columns say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from visprep.errors import WrongContent
from visprep.formats.tasks import (
    DOMAIN_SUFFIX,
    FINAL_FRAME,
    FIRST_FRAME,
    METADATA,
    PROMPT,
    VIDEOS,
    segment,
    tidy_prompt,
)

#: Columns that must be there for a table to be one of tasks.
NEEDED = frozenset({"domain", "first_frame", "id", "prompt"})
#: What a column of files holds of each, in the order in which the library has it for pictures.
FILE = (("bytes", "binary"), ("path", "string"))
#: The columns in their order, and what the `datasets` library calls the types: text, pictures, a file, files.
COLUMNS: tuple[tuple[str, str], ...] = (
    ("id", "string"),
    ("domain", "string"),
    ("prompt", "string"),
    ("first_frame", "image"),
    ("final_frame", "image"),
    ("ground_truth", "file"),
    ("metadata", "string"),
    ("path", "string"),
    ("files", "files"),
)
_WORDS = {
    "id": "What the task is called within its domain.",
    "domain": "The kind of task.",
    "prompt": "What should happen, beginning with the first frame.",
    "first_frame": "The picture that it begins with.",
    "final_frame": "The picture that it ends with, where there is one.",
    "ground_truth": "A video of all of it, where there is one: its name and its bytes.",
    "metadata": "JSON, as text, where there is any.",
    "path": "The directory of the task.",
    "files": "All other files of the task: their names and their bytes.",
}
_VALUES = {name: {"dtype": kind, "_type": "Value"} for name, kind in FILE}
#: Pictures by column.
_FRAMES = (("first_frame", FIRST_FRAME), ("final_frame", FINAL_FRAME))


def features() -> dict[str, Any]:
    """The columns as the `datasets` library writes them into the metadata of a parquet file."""
    types: Mapping[str, Any] = {
        "string": {"dtype": "string", "_type": "Value"},
        "image": {"_type": "Image"},
        "file": _VALUES,
        "files": [_VALUES],
    }
    return {name: types[kind] for name, kind in COLUMNS}


def card(splits: Iterable[str]) -> str:
    """The README.md of a dataset with the tables `data/{split}-*.parquet`: what a hub reads, and what people do."""
    lines = ["---", "dataset_info:", "  features:"]
    for name, kind in COLUMNS:
        lines.append(f"  - name: {name}")
        if kind in ("string", "image"):
            lines.append(f"    dtype: {kind}")
        else:
            lines.append("    struct:" if kind == "file" else "    list:")
            for inner, dtype in FILE:
                lines += [f"    - name: {inner}", f"      dtype: {dtype}"]
    lines += ["configs:", "- config_name: default", "  data_files:"]
    for split in splits:
        lines += [f"  - split: {split}", f"    path: data/{split}-*"]
    lines += ["---", "", "# Tasks", "", "One row is one task. The tables are in `data/`.", ""]
    lines += ["| Column | What it holds |", "|---|---|", *(f"| `{name}` | {_WORDS[name]} |" for name, _ in COLUMNS)]
    return "\n".join(lines) + "\n"


def row_of(path: str, domain: str | None, id_: str, contents: Mapping[str, bytes]) -> dict[str, Any]:
    """The row of a task whose directory is `path`, with these files."""
    left = dict(contents)
    row: dict[str, Any] = {name: None for name, _ in COLUMNS}
    row |= {"id": id_, "domain": domain, "path": path}
    for column, name in _FRAMES:
        if name in left:
            row[column] = {"bytes": left.pop(name), "path": f"{path}/{name}"}
    video = next((name for name in VIDEOS if name in left), None)
    if video is not None:
        row["ground_truth"] = {"bytes": left.pop(video), "path": f"{path}/{video}"}
    if PROMPT in left:
        row["prompt"] = tidy_prompt(left[PROMPT].decode("utf-8", "replace"))
        if row["prompt"].encode() + b"\n" == left[PROMPT]:
            del left[PROMPT]
    if METADATA in left and (text := _text(left[METADATA])) is not None:
        row["metadata"] = text
        del left[METADATA]
    row["files"] = [{"path": name, "bytes": data} for name, data in sorted(left.items())]
    return row


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def home_of(row: Mapping[str, Any]) -> str:
    """The directory of a row's task: as it says, else by its domain and id."""
    return row.get("path") or f"{segment(str(row['domain'] or 'unknown'))}{DOMAIN_SUFFIX}/{segment(str(row['id']))}"


def names_of(row: Mapping[str, Any]) -> dict[str, tuple[str, int | None]]:
    """The files of a row, by name: the column that holds each, and which of the column's where there are several.

    Of pictures, videos and files only their `path` is looked at.
    """
    found: dict[str, tuple[str, int | None]] = {}
    for column, name in _FRAMES:
        if row.get(column) is not None:
            found[name] = column, None
    if (video := row.get("ground_truth")) is not None:
        found[VIDEOS[(video.get("path") or "").endswith(".mp4")]] = "ground_truth", None
    if row.get("prompt") is not None:
        found[PROMPT] = "prompt", None
    if row.get("metadata") is not None:
        found[METADATA] = "metadata", None
    for number, file in enumerate(row.get("files") or ()):
        found[str(file.get("path"))] = "files", number
    return found


def bytes_of(column: str, cell: Any, path: str) -> bytes:
    """The bytes of the file at `path`, of the cell that holds it; WrongContent when it holds but its name."""
    if column == "prompt":
        return f"{cell}\n".encode()
    if column == "metadata":
        return str(cell).encode()
    data = cell.get("bytes")
    if not isinstance(data, bytes):
        raise WrongContent(f"{path}: the table has the name of the file, and not its bytes")
    return data
