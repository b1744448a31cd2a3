"""Tasks in numbers: by domain, with their prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from visprep.errors import BadRecord, StoreError
from visprep.formats import tasks
from visprep.formats.task_loading import TEXT_BYTES
from visprep.formats.tasks import FRAMES, PROMPT, TaskDirectory
from visprep.looking import Looking
from visprep.manifest import File
from visprep.own_record import read_dataset
from visprep.render.text import counted
from visprep.statistics import Histogram
from visprep.statistics.counted import Counted
from visprep.statistics.histograms import tallied
from visprep.statistics.plain import classes_of, splits_of
from visprep.stores import Store


def count(look: Looking, layout: str | None = None) -> Counted:
    """The tasks of a place; `layout` names the files that one must have, as it was downloaded where that is None."""
    found = tasks.find(look.listing, look.place_name).directories
    expected = tasks.layout(_layout(look.store) if layout is None else layout)
    files = [one.files[PROMPT] for one in found if PROMPT in one.files]
    prompts = list(look.rounds.each("Reading prompts", files, lambda file: _prompt(look.store, file), "prompts"))
    told = [text for text in prompts if text is not None]
    lost = len(prompts) - len(told)
    frames = [one.files[name] for one in found for name in FRAMES if name in one.files]
    return Counted(
        "tasks",
        len(found),
        sorted(frames, key=lambda file: file.sort_key),
        incomplete=sum(not set(expected.required) <= one.files.keys() for one in found),
        splits=splits_of([one.path for one in found]),
        classes=classes_of([one.domain or "" for one in found]),
        histograms=[_files(found)],
        texts=told,
        notes=[f"not counted: {counted(lost, 'prompt')}, unreadable or of more than {TEXT_BYTES:,} bytes"]
        if lost
        else [],
    )


async def _prompt(store: Store, file: File) -> str | None:
    """The prompt; None where it cannot be read, or has more bytes than a prompt has: its length would be that cut."""
    try:
        data = await store.read(file.path, 0, TEXT_BYTES + 1)
        return tasks.tidy_prompt(data.decode()) if len(data) <= TEXT_BYTES else None
    except (StoreError, UnicodeDecodeError):
        return None


def _files(found: Sequence[TaskDirectory]) -> Histogram:
    names = Counter(name for one in found for name in one.files)
    return tallied("task-files", "Files of tasks", "tasks", names, most=12)


def _layout(store: Store) -> str:
    """The layout that a place was downloaded in; `template` where that is not told."""
    try:
        dataset = read_dataset(store)
    except BadRecord:  # of somebody else
        dataset = None
    downloads = [one for one in (dataset.steps if dataset else ()) if one.command == "download"]
    told = {one.options["layout"] for one in downloads if one.options.get("layout") in tasks.LAYOUTS}
    return str(told.pop()) if len(told) == 1 else "template"
