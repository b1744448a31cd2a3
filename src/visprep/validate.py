"""Is one task all right? The short answers, and the findings behind them.

For a directory on disk, or for the parts of a task that are still in memory; for a whole place there is `verify`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from visprep import wire
from visprep.errors import PlaceError, StoreError
from visprep.findings import Finding, Level
from visprep.formats import tasks
from visprep.formats.task_loading import load
from visprep.formats.tasks import FINAL_FRAME, FIRST_FRAME, PROMPT
from visprep.images import to_pil
from visprep.rules import Depth, frames, prompts, videos
from visprep.rules import tasks as rules
from visprep.stores.local import LocalStore


def validate_task_data(first_frame: Any, prompt: Any, final_frame: Any) -> bool:
    """Whether the parts of a task can be written in the task layout: no error among `task_data_findings`."""
    return _passes(task_data_findings(first_frame, prompt, final_frame))


def validate_task_directory(task_dir: str | os.PathLike[str]) -> bool:
    """Whether a directory holds a sound task: no error among `task_directory_findings`; False when it is missing."""
    return _passes(task_directory_findings(task_dir))


def _passes(findings: Iterable[Finding]) -> bool:
    return all(finding.level is not Level.ERROR for finding in findings)


def task_data_findings(first_frame: Any, prompt: Any, final_frame: Any) -> list[Finding]:
    """What is wrong with the parts of a task; nothing is raised, whatever is handed in.

    Frames may be whatever `convert_to_pil_image` takes; how they are encoded does not matter, since writing converts
    them. The findings speak of the files that the parts would become.
    """
    pictures: dict[str, Image.Image] = {}
    findings = []
    for name, given in ((FIRST_FRAME, first_frame), (FINAL_FRAME, final_frame)):
        try:
            pictures[name] = to_pil(given)
        except StoreError as error:
            rule = rules.TASK_FILE_MISSING if given is None else frames.FRAME_UNDECODABLE
            findings.append(rule.at(name, f"{name}: {error.message}"))
    findings += _prompt_findings(prompt)
    if len(pictures) == 2:
        first, final = pictures[FIRST_FRAME], pictures[FINAL_FRAME]
        findings += frames.check_pair(first.size, final.size, FINAL_FRAME, lambda: frames.same_pixels(first, final))
    return findings


def _prompt_findings(prompt: Any) -> Iterator[Finding]:
    if not isinstance(prompt, str):
        kind = "nothing" if prompt is None else f"a {type(prompt).__name__}"
        yield rules.TASK_FILE_MISSING.at(PROMPT, f"{PROMPT}: {kind} where text should be")
        return
    try:
        data = prompt.encode()
    except UnicodeEncodeError as problem:
        wrong = f"character {problem.start} is half of a surrogate pair, which UTF-8 cannot hold"
        yield prompts.PROMPT_ENCODING.at(PROMPT, wrong, character=problem.start)
        return
    yield from prompts.check(data, PROMPT)


def task_directory_findings(task_dir: str | os.PathLike[str], layout: str = "template") -> list[Finding]:
    """What is wrong with a task directory, its frames and videos decoded; paths are relative to it.

    Where the directory stands and what it is called does not matter here. One that is missing, or is no directory, is
    a finding; only an unknown `layout` raises (UnknownName).
    """
    expected = tasks.layout(layout)
    place = Path(task_dir)
    try:
        store = LocalStore(place)
        files = {file.path: file for file in store.list() if not file.path.endswith("/")}
        directory = tasks.TaskDirectory("", place.absolute().parent.name, place.absolute().name, files)
        loaded = wire.wait(load(store, directory, Depth.DECODE))
    except PlaceError as error:
        return [rules.TASK_FILE_MISSING.at(".", error.message)]
    except (StoreError, OSError, ValueError) as error:  # names that the system refuses: too long, or with a NUL
        return [rules.TASK_FILE_UNREADABLE.at(".", str(error))]
    place_notes = videos.check_place(tasks.Found((directory,), ()), Depth.DECODE)
    return [*rules.check(loaded, expected, Depth.DECODE), *place_notes]
