"""The rules of metadata: that it can be read, and that it speaks of the task that it lies with."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from visprep.findings import Finding, Level
from visprep.formats.task_loading import TEXT_BYTES, LoadedTask
from visprep.formats.tasks import (
    DOMAIN_SUFFIX,
    METADATA,
    METADATA_FILES,
    PROMPT,
    QUESTION_METADATA,
    Layout,
    TaskDirectory,
    json_object,
    tidy_prompt,
)
from visprep.rules import Depth, Rule

METADATA_INCOMPLETE = Rule(
    "metadata-incomplete",
    Level.WARNING,
    Depth.HEADERS,
    "A metadata.json lacks keys that its layout asks for, or has something of another type there.",
    "Tools of that layout skip the task, or cannot tell how it was made and whether they have it already.",
    "write the metadata with the generator of the task, or verify with another --layout",
    bad="A metadata.json of layout vbvr without `param_hash`.",
    near="The same file under layout template, which asks for no keys.",
)
METADATA_LARGE = Rule(
    "metadata-large",
    Level.WARNING,
    Depth.HEADERS,
    f"A metadata file has more than {TEXT_BYTES:,} bytes.",
    "Whoever reads it holds all of it in memory, for every task; visprep does not look into it.",
    "keep data in files of its own, or drop what is not about the task",
    bad="A metadata.json of 1,000,009 bytes.",
    near="One of 1,000,000 bytes.",
)
METADATA_MISMATCH = Rule(
    "metadata-mismatch",
    Level.WARNING,
    Depth.HEADERS,
    "A metadata file names another task, domain, generator, prompt or frame than those it lies with, or contradicts "
    "itself.",
    "It was copied or renamed: results that are joined by id then belong to another task.",
    "write the metadata again, or rename the directory back",
    bad="maze_task/t0/metadata.json says that its `task_id` is t5.",
    near="`id` is row-7 there: that is what upstream calls the row.",
)
METADATA_NOT_JSON = Rule(
    "metadata-not-json",
    Level.ERROR,
    Depth.HEADERS,
    "A metadata file is not a JSON object in UTF-8.",
    "Whoever reads it stops there.",
    "repair the file, or delete it: it is optional",
    bad="metadata.json is a JSON list, or holds NaN.",
    near="metadata.json is `{}`.",
)

RULES: tuple[Rule, ...] = (METADATA_INCOMPLETE, METADATA_LARGE, METADATA_MISMATCH, METADATA_NOT_JSON)

#: What the keys of a metadata file name. `id` is no such key in metadata.json: there it is upstream's own.
_MEANING = {"task_id": "task", "domain": "domain", "generator": "generator", "prompt": "prompt"}
#: What they name in question_metadata.json; a layout that knows this file may have the same in metadata.json.
_OF_A_QUESTION = {
    "task_id": "task",
    "id": "task",
    "domain": "domain",
    "prompt": "prompt",
    "first_image_path": "frame",
    "final_image_path": "frame",
}
_KINDS: dict[type, str] = {str: "text", dict: "an object", list: "a list"}


def check(loaded: LoadedTask, layout: Layout) -> Iterator[Finding]:
    """What is wrong with the metadata of a task."""
    for name in METADATA_FILES:
        data = loaded.contents.get(name)
        if not data:
            continue
        path = loaded.directory.at(name)
        if not loaded.whole(name):
            size = loaded.directory.files[name].size or len(data)
            yield METADATA_LARGE.at(path, f"{name} has {size:,} bytes, and was not looked into", bytes=size)
            continue
        try:
            values = json_object(data)
        except ValueError as problem:
            yield METADATA_NOT_JSON.at(path, f"{name}: {problem}")
            continue
        contradictions = [*_contradictions(name, values, loaded, layout)]
        if contradictions:
            yield METADATA_MISMATCH.at(path, f"{name}: {'; '.join(contradictions)}")
        if name == METADATA:
            yield from _incomplete(path, values, layout)


def _incomplete(path: str, values: Mapping[str, Any], layout: Layout) -> Iterator[Finding]:
    """What the layout asks for and is not there, or is there as something else."""
    missing = [key for key, _ in layout.metadata_keys if key not in values]
    others = [(key, kind) for key, kind in layout.metadata_keys if key in values and not isinstance(values[key], kind)]
    wrong = [f"{METADATA} lacks {', '.join(missing)}"] if missing else []
    wrong += [f"{key} is {_kind(values[key])}, not {_KINDS[kind]}" for key, kind in others]
    if wrong:
        yield METADATA_INCOMPLETE.at(path, "; ".join(wrong), missing=missing, mistyped=[key for key, _ in others])


def _kind(value: Any) -> str:
    """What a JSON value is, in words."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return _KINDS.get(type(value), "a number")


def _contradictions(name: str, values: Mapping[str, Any], loaded: LoadedTask, layout: Layout) -> Iterator[str]:
    # By its names of frames, since sources of ours keep the id of a row in metadata.json, whatever the layout
    question = name == QUESTION_METADATA or (QUESTION_METADATA in layout.names and "first_image_path" in values)
    for key, meaning in (_OF_A_QUESTION if question else _MEANING).items():
        value = values.get(key)
        if value is None or value == "" or (key in dict(layout.metadata_keys) and not isinstance(value, str)):
            continue  # it says nothing; or it is no text where the layout wants text, which is said elsewhere
        if meaning == "prompt":
            if not _is_prompt(value, loaded):
                yield f"{key} is not what {PROMPT} says"
        elif meaning == "generator" and not layout.generators:
            continue
        elif isinstance(value, bool | list | dict):
            yield f"{key} is {_kind(value)}, which names nothing"
        elif other := _other(meaning, str(value), loaded.directory, layout):
            yield f"{key} is {value!r}, {other}"
    wanted, parameters = values.get("param_hash"), values.get("parameters")
    if layout.metadata_keys and isinstance(wanted, str) and isinstance(parameters, dict):
        with contextlib.suppress(RecursionError):  # nested too deep to hash, so nobody can have hashed it
            hashes = [*_hashes(parameters)]
            if wanted not in hashes and not _numbered(parameters):
                yield f"param_hash is {wanted!r}, that of the parameters is {hashes[0]!r}"


def _is_prompt(value: Any, loaded: LoadedTask) -> bool:
    """Whether a value is the prompt of the task, but for blanks around it; True where nobody can tell."""
    data = loaded.contents.get(PROMPT)
    if not data or not loaded.whole(PROMPT):
        return True
    try:
        return isinstance(value, str) and tidy_prompt(value) == tidy_prompt(data.decode())
    except UnicodeDecodeError:  # the rules of prompts say so
        return True


def _other(meaning: str, value: str, directory: TaskDirectory, layout: Layout) -> str | None:
    """What stands there instead of `value`; None when it is the same, or nothing is there to compare with."""
    if meaning == "task":
        return None if value == directory.id else f"the directory {directory.id!r}"
    if meaning == "frame":  # "{domain}_task/{task_id}/first_frame.png"
        path = PurePosixPath(value.replace("\\", "/"))
        if path.parent.name and path.parent.name != directory.id:
            return f"the directory {directory.id!r}"
        return None if path.name in directory.files else "which is not there"
    if directory.domain is None or value.removesuffix(DOMAIN_SUFFIX) == directory.domain:
        return None
    if meaning == "domain":
        return f"the directory {directory.domain + DOMAIN_SUFFIX!r}"
    generator = directory.generator if layout.generators else None
    return None if generator in (None, value) else f"the directory {generator!r}"


def _hashes(parameters: Mapping[str, Any]) -> Iterator[str]:
    """The hashes of parameters, as the two generations of generators write them: with blanks in the JSON, and without.

    See core/metadata_builder.py of O-47_sliding_puzzle_data-generator at 22f1815, and core/pipeline.py of
    template-data-pipeline at 662d33a (both github.com/VBVR-DataFactory).
    """
    for separators in ((", ", ": "), (",", ":")):
        text = json.dumps(parameters, ensure_ascii=False, sort_keys=True, separators=separators)
        yield hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _numbered(value: Any) -> bool:
    """Whether some key is a number: those were sorted as numbers when the hash was made, and are text now."""
    if isinstance(value, dict):
        return any(key.lstrip("-").replace(".", "", 1).isdigit() or _numbered(one) for key, one in value.items())
    return isinstance(value, list) and any(map(_numbered, value))
