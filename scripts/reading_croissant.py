"""The records that a Croissant document tells of: read by the library mlcroissant, and, for comparison, by hand.

`python reading_croissant.py FILE...` prints what mlcroissant makes of each, as one line of JSON.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import logging
import re
import sys
from pathlib import Path
from typing import Any

from PIL import Image

Records = dict[str, list[dict[str, Any]]]


def by_mlcroissant(file: Path) -> dict[str, Any]:
    """Its warnings, and the records of all record sets; mlcroissant raises where it finds an error."""
    import mlcroissant

    logging.disable(logging.WARNING)
    dataset = mlcroissant.Dataset(file)
    records: Records = {
        one.uuid: [{key.rpartition("/")[2]: plain(value) for key, value in record.items()} for record in records_of]
        for one in dataset.metadata.record_sets
        for records_of in [dataset.records(one.uuid)]
    }
    return {"warnings": sorted(dataset.metadata.ctx.issues.warnings), "records": records}


def by_hand(file: Path) -> Records:
    """The same records, read from the files beside it with nothing but JSON, globs and regular expressions."""
    document = json.loads(file.read_bytes())
    sources = {one["@id"]: one for one in document["distribution"]}
    paths = sorted(path.relative_to(file.parent).as_posix() for path in file.parent.rglob("*") if path.is_file())
    return {one["@id"]: list(_records(one, sources, paths, file.parent)) for one in document.get("recordSet", ())}


def files_of(group: dict[str, Any], paths: list[str]) -> list[str]:
    """Those of some paths that are in a FileSet."""
    patterns = group["includes"] if isinstance(group["includes"], list) else [group["includes"]]
    return [path for path in paths if any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)]


def _records(table: dict[str, Any], sources: dict[str, Any], paths: list[str], place: Path) -> Any:
    fields = table["field"]
    ids = {(one["source"].get("fileSet") or one["source"]["fileObject"])["@id"] for one in fields}
    source = sources[ids.pop()]
    assert not ids
    if source["@type"] == "cr:FileObject":
        rows = json.loads((place / source["contentUrl"]).read_bytes())
        for row in rows[re.fullmatch(r"\$\.(\w+)\[\*\]", fields[0]["source"]["extract"]["jsonPath"])[1]]:  # type: ignore[index]
            yield {one["name"]: row.get(one["source"]["transform"]["jsonPath"][2:]) for one in fields}
    for path in files_of(source, paths) if source["@type"] == "cr:FileSet" else ():
        yield {one["name"]: plain(_value(one, place / path, path)) for one in fields}


def _value(field: dict[str, Any], file: Path, path: str) -> Any:
    if field["source"]["extract"]["fileProperty"] == "content":
        return Image.open(file) if field["dataType"] == "sc:ImageObject" else file.read_bytes()
    found = re.match(field["source"].get("transform", {}).get("regex", "(.*)"), path)
    said = found[1] if found else None
    return int(said) if said and field["dataType"] == "sc:Integer" else said


def plain(value: Any) -> Any:
    """A value as JSON has it; of a picture its size and the digest of its pixels."""
    if isinstance(value, Image.Image):
        picture = value.convert("RGB")
        return [*picture.size, hashlib.sha256(picture.tobytes()).hexdigest()]
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value.decode() if isinstance(value, bytes) else value


if __name__ == "__main__":
    print(json.dumps([by_mlcroissant(Path(name)) for name in sys.argv[1:]]))
