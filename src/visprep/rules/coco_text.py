"""The rules of a COCO JSON file as text: that it is JSON, that all parsers read the same from it, and what is on top.

A record that is fine is decoded once, by type. `careful` takes those apart that are not, and says what is wrong.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from visprep.findings import ID_OF, Level
from visprep.formats.coco_scan import LARGEST, Malformed, Raw, Records, Value
from visprep.rules import Depth, Rule
from visprep.rules.coco_notes import Notes, escaped

H = Depth.HEADERS

ID_FLOAT = Rule(
    "id-float",
    Level.WARNING,
    H,
    "A whole number, such as an id, is written as a float.",
    "Typed readers refuse it, and 908400416500.0 and 908400416500 are two keys wherever ids are compared as text.",
    "write it as a whole number; visprep counts it as one",
    bad='`"id": 908400416500.0`, as derived files of 2014 have it.',
    near='`"area": 100.0`: areas are floats.',
)
JSON_CUT = Rule(
    "json-cut",
    Level.ERROR,
    H,
    "A JSON file ends before what it began is closed.",
    "It was not written or copied to its end: no program can load it.",
    "fetch or write the file again",
    bad='The file ends with `"bbox": [12.5, `.',
    near="A file that ends without a line break.",
)
JSON_DEEP = Rule(
    "json-deep",
    Level.ERROR,
    H,
    "A value nests lists or objects so deep that programs give up on it.",
    "Parsers stop with an error there, and some crash.",
    "write the value flat: polygons are a list of lists of numbers",
    bad="A segmentation of ten thousand brackets.",
    near="A member `attributes` that nests fifty deep.",
)
JSON_EMPTY = Rule(
    "json-empty",
    Level.ERROR,
    H,
    "A JSON file has no bytes, or only blanks.",
    "It was begun and never written; nothing loads it.",
    "fetch or write the file again",
    bad="instances_val2017.json has 0 bytes.",
    near='A file that holds `{"images": []}`.',
)
JSON_ENCODING = Rule(
    "json-encoding",
    Level.ERROR,
    H,
    "A JSON file is not plain UTF-8: it has a byte order mark, another encoding, or bytes that are no text.",
    "Python's json refuses it, or reads other names from it than were meant.",
    "save the file as UTF-8 without a byte order mark",
    bad="A file name in Latin-1: `caf\\xe9.jpg`.",
    near="The same name in UTF-8.",
)
JSON_KEY_REPEATED = Rule(
    "json-key-repeated",
    Level.ERROR,
    H,
    "A record, or the object at the top, has a key twice.",
    "Which of the two counts depends on who reads it: most take the last, without a word.",
    "keep the one that is meant",
    bad='`{"id": 7, "image_id": 3, "id": 8, ...}`.',
    near="Two records with the same keys.",
)
JSON_LARGE = Rule(
    "json-large",
    Level.ERROR,
    H,
    f"One record, or one value at the top, has more than {LARGEST // 2**20} MiB; or the top has too many members.",
    "Nothing that COCO knows is so large; visprep does not look at what comes after it.",
    "split the record, or keep such data in a file of its own",
    bad="An annotation whose mask is written out as nine million characters.",
    near="A file of many gigabytes, of records of usual size.",
)
JSON_LIST_MISSING = Rule(
    "json-list-missing",
    Level.ERROR,
    H,
    "The file has no `images`; or it has annotations with categories, and no `categories`.",
    "pycocotools stops at the missing key, or at the first lookup.",
    "add the list; or verify the file as what it is",
    bad='`{"annotations": [], "categories": []}`.',
    near="No `annotations`: official image_info files have none.",
)
JSON_NOT_FINITE = Rule(
    "json-not-finite",
    Level.ERROR,
    H,
    "A record holds NaN or Infinity.",
    "It is no JSON: Python reads it, other parsers refuse the whole file, and a loss on it becomes NaN.",
    "compute the value again, or drop the record",
    bad='`"area": NaN`.',
    near='A category with the name "NaN".',
)
JSON_NUMBER_RANGE = Rule(
    "json-number-range",
    Level.ERROR,
    H,
    "A number is too large for where it stands: an id beyond 64 bits, or a value beyond what a float holds.",
    "numpy overflows on it or reads infinity; ids stop being comparable.",
    "renumber, or compute the value again",
    bad="An annotation with the id 9223372036854775808.",
    near="908400416500, the id of an official crowd: more than 32 bits, and fine.",
)
JSON_RECORD = Rule(
    "json-record",
    Level.ERROR,
    H,
    "An element of images, annotations, categories or licenses is no object.",
    "Readers look keys up in it, and stop.",
    "remove the element",
    bad='`"images": [17]`.',
    near='`"images": []`.',
)
JSON_SYNTAX = Rule(
    "json-syntax",
    Level.ERROR,
    H,
    "The file is no JSON.",
    "No program can load it.",
    "repair the place that is named, or write the file again with a JSON library",
    bad="A comma after the last annotation.",
    near="Line breaks and blanks between records.",
)
JSON_TOP = Rule(
    "json-top",
    Level.ERROR,
    H,
    "The top is not as COCO has it: no object, or one of images, annotations, categories, licenses that is no list.",
    "Readers walk through these lists, and stop.",
    "write {images: [...], annotations: [...], categories: [...]}",
    bad='`{"images": {"1": {...}}}`: a dictionary by id.',
    near="A list of results: another kind of file, and held against other rules.",
)

RULES: tuple[Rule, ...] = (
    ID_FLOAT,
    JSON_CUT,
    JSON_DEEP,
    JSON_EMPTY,
    JSON_ENCODING,
    JSON_KEY_REPEATED,
    JSON_LARGE,
    JSON_LIST_MISSING,
    JSON_NOT_FINITE,
    JSON_NUMBER_RANGE,
    JSON_RECORD,
    JSON_SYNTAX,
    JSON_TOP,
)

_MALFORMED = {
    "cut": JSON_CUT,
    "deep": JSON_DEEP,
    "empty": JSON_EMPTY,
    "encoding": JSON_ENCODING,
    "large": JSON_LARGE,
    "syntax": JSON_SYNTAX,
}
_DICTS = msgspec.json.Decoder(list[dict[str, Raw]])
_AT_BYTE = re.compile(r" \(byte (\d+)\)$")


def malformed(problem: Malformed, notes: Notes) -> None:
    """Note where the file cannot be read on."""
    where = {"byte": problem.offset, "line": problem.line, "column": problem.column}
    notes.add(_MALFORMED[problem.reason], f"byte {problem.offset:,}: {problem.message}", where=where)


def value(found: Value, wants_list: bool, notes: Notes) -> None:
    """Hold what stands at the top, and is no list, against the rules."""
    pointer = f"/{escaped(found.key)}" if found.key else ""
    where = {"pointer": pointer, "byte": found.offset, "line": found.line, "column": found.column}
    if wants_list:
        notes.add(JSON_TOP, f"{found.key!r} is no list", where=where)
    try:
        found.decoded()
    except RecursionError:
        notes.add(JSON_DEEP, f"the value of {found.key!r} nests too deep", where=where)
    except msgspec.ValidationError as problem:
        notes.add(JSON_NUMBER_RANGE, f"the value of {found.key!r}: {problem}", where=where)
    except ValueError as problem:
        rule, message, _ = _inner(problem, found.data)
        notes.add(rule, f"the value of {found.key!r}: {message}", where=where)


def key_repeated(key: str, offset: int, notes: Notes) -> None:
    """Note a key that the top has twice."""
    where = {"pointer": f"/{escaped(key)}", "byte": offset, "key": key}
    notes.add(JSON_KEY_REPEATED, f"{key[:100]!r} stands twice at the top", where=where)


def keys_once(records: Records, quotes: int | None, notes: Notes) -> None:
    """Note records that have a key twice.

    `quotes` are the quotation marks that the records would have if no key were there twice, as far as they are known:
    then counting is enough. Else it takes a look at the keys, and where that is not conclusive, at every record.
    """
    there = int(np.count_nonzero(np.frombuffer(records.data, np.uint8) == 0x22))
    if there == quotes:
        return
    try:
        rows = _DICTS.decode(records.data)
    except (ValueError, RecursionError):
        rows = None
    if rows is not None:
        marks = sum(2 * len(row) for row in rows)
        marks += sum(bytes(one).count(b'"') for row in rows for one in row.values() if memoryview(one)[0] in b'"{[')
        if marks == there:
            return
    for number, (_, data) in enumerate(records.elements(), records.first):
        twice: list[str] = []

        def pairs(found: list[tuple[str, Any]], twice: list[str] = twice) -> dict[str, Any]:
            made = dict(found)
            counts = Counter(key for key, _ in found) if len(made) < len(found) else {}
            twice[:] = sorted(key for key, count in counts.items() if count > 1)
            return made

        try:
            json.loads(data, object_pairs_hook=pairs)  # the outermost object comes last
        except (ValueError, RecursionError):
            continue
        for key in twice:
            words = f"the key {key[:100]!r} stands there twice"
            notes.add(JSON_KEY_REPEATED, words, records.key, number, where={"key": key[:100]})


def careful(
    records: Records, fields: Mapping[str, Any], make: Callable[..., Any], mistyped: Mapping[str, Rule], notes: Notes
) -> tuple[list[Any], dict[int, frozenset[str]]]:
    """The records of a run in which not all are as they should be, as rows; and for each number the fields to pass by.

    What is wrong with JSON and types is noted. `fields` are the types of the members and `mistyped` the rules
    that speak of other types, `make` makes a row of those that
    have theirs; a record that cannot be read at all becomes a row with none, all of whose fields are to be passed by.
    """
    rows, passed = [], {}
    for number, (_, data) in enumerate(records.elements(), records.first):
        found = _members(records.key, number, data, notes)
        if found is None:
            rows.append(make())
            passed[number] = frozenset(fields)
            continue
        good: dict[str, Any] = {}
        for name in found.keys() & fields.keys():
            try:
                good[name], as_float = _typed(found[name], fields[name])
                if as_float:
                    notes.add(ID_FLOAT, f"`{name}` is {bytes(found[name]).decode()}", records.key, number, name)
            except (ValueError, RecursionError) as problem:
                _mistyped(records.key, number, name, problem, found, mistyped[name], notes)
        rows.append(make(**good))
        if bad := (found.keys() & fields.keys()) - good.keys():
            passed[number] = frozenset(bad)
    return rows, passed


def _members(key: str, number: int, data: bytes, notes: Notes) -> dict[str, Any] | None:
    """The members of a record, undecoded; None when there are none, and that is noted."""
    if not _sound(key, number, data, notes):
        return None
    try:
        return msgspec.json.decode(data, type=dict[str, Raw])
    except ValueError:
        notes.add(JSON_RECORD, f"{data[:40].decode(errors='replace')!r} is no object", key, number)
    return None


def _sound(key: str, number: int, data: bytes, notes: Notes) -> bool:
    """Whether an element is JSON; if not, that is noted."""
    try:
        msgspec.json.decode(data, type=Raw)
    except RecursionError:
        notes.add(JSON_DEEP, "it nests too deep to be read", key, number)
        return False
    except ValueError as problem:
        rule, message, at = _inner(problem, data)
        notes.add(rule, message, key, number, inside=at)
        return False
    return True


def other_records(records: Records, notes: Notes) -> None:
    """Hold the elements of a list that COCO does not know against the rules of JSON."""
    for number, (_, data) in enumerate(records.elements(), records.first):
        _sound(records.key, number, data, notes)


def _typed(data: Raw, kind: Any) -> tuple[Any, bool]:
    try:
        return msgspec.json.decode(data, type=kind), False
    except msgspec.ValidationError:
        # A float without a fraction is the number that it is: some tools write large ids so
        number = msgspec.json.decode(data)
        if isinstance(number, float) and number.is_integer() and abs(number) < 2**63:
            return msgspec.convert(int(number), kind), True
        raise


def _mistyped(
    key: str, number: int, name: str, problem: Exception, found: Mapping[str, Any], mistyped: Rule, notes: Notes
) -> None:
    message = str(problem).replace(" - at `$", f" - at `{name}").replace(" - at `$`", "")
    ids = {"image_id": _id(found.get("image_id")), ID_OF[key]: _id(found.get("id"))}
    out = "out of range" in message or "<=" in message or ">=" in message
    notes.add(JSON_NUMBER_RANGE if out else mistyped, f"`{name}`: {message}", key, number, name, where=ids)


def _id(data: Raw | None) -> int | None:
    try:
        return msgspec.json.decode(data, type=int) if data is not None else None
    except (ValueError, RecursionError):
        return None


def _inner(problem: Exception, data: bytes) -> tuple[Rule, str, int]:
    """What is wrong with the bytes of a value that is no JSON, and at which of them."""
    at = _AT_BYTE.search(str(problem))
    byte = int(at[1]) if at else 0
    try:
        json.loads(data)  # takes NaN and Infinity for numbers, and half of a surrogate pair for a character
    except (ValueError, RecursionError):
        return JSON_SYNTAX, _AT_BYTE.sub("", str(problem)), byte
    if b"NaN" in data or b"Infinity" in data:
        return JSON_NOT_FINITE, "it holds NaN or Infinity, which is no JSON", byte
    return JSON_SYNTAX, "it holds an escape that is no character, such as half of a surrogate pair", byte
