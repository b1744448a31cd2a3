"""docs/schemas/*.json: what `--json` prints, command by command, made of the classes that the commands print.

A command with a new `--json` gets a row in `SCHEMAS`: mostly its result class is enough. `python scripts/make_docs.py`
writes the file, and docs/json.md the row of its table; tests/test_schemas.py wants a line that runs it.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

Schema = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"
TEXT, NUMBER, YES_OR_NO = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
VERSION = {"description": "Fields may be added within one version; none goes away or changes its meaning.", "const": 1}


def maybe(schema: Schema) -> Schema:
    """That, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def several(schema: Schema) -> Schema:
    """An array of that."""
    return {"type": "array", "items": schema}


def by_name(schema: Schema) -> Schema:
    """An object that has one for each name."""
    return {"type": "object", "additionalProperties": schema}


def record(fields: Mapping[str, Schema], description: str = "", optional: tuple[str, ...] = ()) -> Schema:
    """An object with these fields, which are all there but for the `optional` ones."""
    told = {"description": description} if description else {}
    required = [name for name in fields if name not in optional]
    return {"type": "object", **told, "properties": dict(fields), "required": required}


def of(place: str, /, *, without: tuple[str, ...] = (), sparse: bool = False, **more: Schema) -> Schema:
    """The fields of a class, `module:Class` in visprep, as plain data: all of them are there.

    `without` are fields that are not told, `more` are told beside. `sparse`: a field that is null is left out.
    """
    module, _, name = place.partition(":")
    cls = getattr(importlib.import_module(f"visprep.{module}"), name)
    (found,), parts = msgspec.json.schema_components([cls], schema_hook=_elsewhere, ref_template="#/$defs/{name}")
    parts = {called: _whole(part, sparse and called == name) for called, part in parts.items()}
    schema = parts.pop(name) if "$ref" in found else _whole(found, sparse)
    schema["properties"] = {key: value for key, value in schema["properties"].items() if key not in without} | more
    schema["required"] = [*(key for key in schema["required"] if key not in without), *more]
    return _with(schema, parts)


def _elsewhere(_: type) -> Schema:
    """What is no plain data, and is told otherwise or not at all."""
    return {"type": "object"}


def _with(schema: Schema, parts: Mapping[str, Schema]) -> Schema:
    """A schema with those of the parts that it needs."""
    needed: dict[str, Schema] = {}
    asked = [schema]
    while asked:
        text = json.dumps(asked.pop())
        found = {name: part for name, part in parts.items() if name not in needed and f'"#/$defs/{name}"' in text}
        needed |= found
        asked += found.values()
    return schema | ({"$defs": needed} if needed else {})


def _whole(schema: Schema, sparse: bool = False) -> Schema:
    """A schema of msgspec's, where every field is there and nothing is by default; its words on lines of their own."""
    schema = _without_defaults(schema)
    if "properties" in schema:
        schema["required"] = [
            key
            for key, value in schema["properties"].items()
            if not (sparse and {"type": "null"} in value.get("anyOf", ()))
        ]
    if "description" in schema:
        words = " ".join(inspect.cleandoc(schema["description"]).split())
        for python, told in (("None", "null"), ("True", "true"), ("False", "false")):
            words = re.sub(rf"\b{python}\b", told, words)
        schema["description"] = words
    schema.pop("title", None)
    return schema


def _without_defaults(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_defaults(one) for key, one in value.items() if key != "default" or not _is_schema(value)}
    return [_without_defaults(one) for one in value] if isinstance(value, list) else value


def _is_schema(value: Schema) -> bool:
    return "type" in value or "anyOf" in value or "$ref" in value


def any_of(*schemas: Schema) -> Schema:
    """One of several results."""
    parts: Schema = {}
    for schema in schemas:
        parts |= schema.pop("$defs", {})
    return {"anyOf": list(schemas), "$defs": parts}


FINDING = record(
    {
        "code": TEXT, "level": {"enum": ["error", "warning", "note"]}, "path": TEXT, "where": {"type": "object"},
        "message": TEXT, "hint": maybe(TEXT),
    },
    "One thing wrong. `where` says which part of the file: ids, a JSON pointer, a byte, what was measured.",
)  # fmt: skip
COUNTS = record({"error": NUMBER, "warning": NUMBER, "note": NUMBER}, "Findings by level.")
TRAFFIC = record(
    {
        "requests": NUMBER, "listings": NUMBER, "bytes": NUMBER,
        "dollars": record({"requests": {"type": "number"}, "transfer": {"type": "number"}, "prices_of": TEXT}),
    },
    "What servers were asked for, and about what AWS takes for it.",
)  # fmt: skip
METRICS = by_name({"type": ["number", "string"]})
LENGTH = record({"files": NUMBER, "bytes": NUMBER})


def _demo() -> Schema:
    step = record({"name": TEXT, "made": TEXT, "place": TEXT}, "What came of a step, in words, and where that is.")
    return record({"steps": several(step)}, "The steps of the road, in their order; each ended as it must.")


def _doctor() -> Schema:
    return of("_doctor:Checkup", usable=YES_OR_NO)


def _verify() -> Schema:
    fields = {
        "place": TEXT, "format": maybe(TEXT), "depth": maybe(TEXT), "dry_run": YES_OR_NO, "checked": by_name(NUMBER),
        "fail_on": {"enum": ["error", "warning"]}, "known": NUMBER, "counts": COUNTS, "traffic": TRAFFIC,
        "spared": NUMBER, "findings": several(FINDING),
    }  # fmt: skip
    return record(fields, "A report; `known` findings of the baseline are left out.", ("traffic", "spared"))


def _download() -> Schema:
    kinds = (
        "table_download:DownloadResult", "archive_download:CollectResult",
        "open_images_download:BucketResult", "copying:CopyResult",
    )  # fmt: skip
    return any_of(*map(of, kinds))


def _leaks() -> Schema:
    told = {"place": TEXT, "counts": COUNTS, "findings": several(FINDING)}
    return of("_leaks:LeaksResult", without=("report", "unwritten"), **told)


def _split() -> Schema:
    schema = of("_split:SplitResult")
    split = schema["$defs"]["Split"]
    del split["properties"]["members"]
    split["required"].remove("members")
    return schema


def _gather() -> Schema:
    download, split = _download(), _split()
    parts = download.pop("$defs") | split.pop("$defs")
    verified = record(
        {"depth": maybe(TEXT), "checked": by_name(NUMBER), "counts": COUNTS, "findings": several(FINDING)}
    )
    fields = {
        "source": TEXT, "output": TEXT, "splits": TEXT, "download": maybe(download), "verify": maybe(verified),
        "split": maybe(split), "parts": by_name(NUMBER), "files": by_name(TEXT), "nothing_to_do": YES_OR_NO,
        "stopped": maybe(TEXT), "go_on": maybe(TEXT),
    }  # fmt: skip
    return record(fields, "What each step did; null for one that was not done.") | {"$defs": parts}


def _sync() -> Schema:
    schema = of("copying:CopyResult")
    operation = record({"action": TEXT, "path": TEXT, "size": maybe(NUMBER), "reason": TEXT})
    schema["properties"]["operations"] = several(operation) | {"description": "With --dry-run."}
    return schema


#: What diff tells of records, each a kind of its own.
DIFFERENCES = (
    "AnnotationDifference", "CategoryDifference", "DocumentDifference", "ImageDifference", "NotCompared",
    "PromptDifference", "RenumberedDifference", "SplitDifference", "TaskDifference",
)  # fmt: skip


def _diff() -> Schema:
    from visprep import differences

    kinds = (of(f"differences:{name}", kind={"const": getattr(differences, name).kind}) for name in DIFFERENCES)
    records = any_of(*kinds)
    counts = record({"removed": NUMBER, "added": NUMBER, "changed": NUMBER})
    fields = {
        "differences": several(of("differences:FileDifference")),
        "records": several({"anyOf": records["anyOf"]}),
        "counts": counts,
        "record_counts": by_name(by_name(NUMBER)),
    }
    return record(fields, "Files in order of path, then records.") | {"$defs": records["$defs"]}


def _ls() -> Schema:
    file = of("manifest:File", sparse=True)
    parts = file.pop("$defs", {})
    return record({"files": several(file), "bytes": NUMBER}) | ({"$defs": parts} if parts else {})


def _listed(name: str, place: str, sparse: bool = False) -> Schema:
    schema = of(place, sparse=sparse)
    parts = schema.pop("$defs", {})
    return record({name: several(schema)}) | ({"$defs": parts} if parts else {})


def _runs_list() -> Schema:
    schema = _listed("runs", "runs:RunSummary")
    schema["properties"]["runs"]["items"]["properties"]["metrics"] = METRICS
    return schema


def _runs_show() -> Schema:
    checkpoint = record(
        {
            "path": TEXT, "file": TEXT, "step": NUMBER, "epoch": maybe(NUMBER), "number": NUMBER, "size": NUMBER,
            "sha256": TEXT, "saved": TEXT, "metrics": METRICS, "best": YES_OR_NO,
            "trained_on": maybe({"type": "object"}), "writer": TEXT,
        }
    )  # fmt: skip
    fields = {
        "place": TEXT, "experiment": TEXT, "checkpoints": several(checkpoint), "latest": maybe(TEXT),
        "best": maybe(TEXT), "writer": TEXT, "others": several(record({"path": TEXT, "size": maybe(NUMBER)})),
        "events": LENGTH, "logs": LENGTH,
    }  # fmt: skip
    return record(fields, "Checkpoints, the latest and the best among them by path, and files of others.")


#: command -> the schema of what its `--json` prints, without `format_version`, which all have.
SCHEMAS: Mapping[str, Callable[[], Schema]] = {
    "demo": _demo,
    "doctor": _doctor,
    "sources": lambda: _listed("sources", "sources:SourceSummary"),
    "download": _download,
    "status": lambda: of("_status:Status"),
    "verify": _verify,
    "fix": lambda: of("_fix:FixResult"),
    "split": _split,
    "leaks": _leaks,
    "gather": _gather,
    "convert": lambda: of("converting:ConvertResult"),
    "upload": lambda: of("copying:CopyResult"),
    "publish": lambda: of("publishing:PublishResult"),
    "sync": _sync,
    "diff": _diff,
    "ls": _ls,
    "stats": lambda: of("statistics:Stats"),
    "report": lambda: of("_report:ReportResult"),
    "export-metadata": lambda: of("_export_metadata:ExportedMetadata"),
    "rebuild": lambda: of("rebuilding:RebuildResult", repeatable=YES_OR_NO),
    "explain": lambda: _listed("pages", "_explain:Page", sparse=True),
    "runs list": _runs_list,
    "runs show": _runs_show,
    "runs pull": lambda: of("runs:Carried"),
    "runs push": lambda: of("runs:Carried"),
    "runs tensorboard": lambda: of("runs:EventsPulled"),
}


def file_of(command: str) -> str:
    """Where the schema of a command lies, below docs/."""
    return f"schemas/{command.replace(' ', '-')}.json"


def schema_of(command: str) -> Schema:
    """The whole schema of what a command prints."""
    schema = SCHEMAS[command]()
    for one in schema.get("anyOf", [schema]):
        one["properties"] = {"format_version": VERSION} | one["properties"]
        one["required"] = ["format_version", *one["required"]]
    return {"$schema": DRAFT, "title": f"visprep {command} --json", **schema}


def documents() -> dict[str, str]:
    """File name below docs/ -> its text."""
    return {file_of(one): json.dumps(schema_of(one), indent=2, ensure_ascii=False) + "\n" for one in SCHEMAS}
