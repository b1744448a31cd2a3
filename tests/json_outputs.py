"""What `--json` prints, held against the schemas that docs/schemas/ has."""

from __future__ import annotations

import copy
import functools
import json
from pathlib import Path

from visprep.cli.application import GROUPS

SCHEMAS = Path(__file__).parents[1] / "docs" / "schemas"
#: What is longer is not looked at by every test that prints it.
SHORT = 100_000


def schema_file(command):
    return SCHEMAS / f"{command.replace(' ', '-')}.json"


@functools.cache
def validator(command, strict=False):
    """What complains about a document; `strict`: about fields, too, that its schema does not name."""
    import jsonschema

    schema = json.loads(schema_file(command).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(closed(schema) if strict else schema)


def closed(schema):
    """The same, but that no object has other fields than are named."""
    schema = copy.deepcopy(schema)
    waiting = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if isinstance(one.get("properties"), dict) and one.get("type") == "object":
                one["additionalProperties"] = False
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return schema


def check(words, out):
    """Every document that a test prints is what its schema says; a command without one is test_schemas' business."""
    if "--json" not in words or not 0 < len(out) < SHORT:
        return
    command = " ".join(words[: 2 if words[0] in GROUPS else 1])
    if schema_file(command).is_file():
        validator(command).validate(json.loads(out))
