"""Croissant 1.0: a dataset as JSON-LD, which search engines and the library mlcroissant read.

Files are named relative to the place, so that the document belongs at its top (or beside an archive).
"""

from __future__ import annotations

import json
from typing import Any

from visprep.metadata import Column, Contents, Document, FileGroup, Origins, Table
from visprep.metadata.licenses import spdx_url
from visprep.metadata.sentences import description
from visprep.metadata.written import SEAL, sealed

VERSION = "http://mlcommons.org/croissant/1.0"
#: As the specification has it.
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def croissant(contents: Contents, origins: Origins, archive: Document | None = None) -> str:
    """The document; `archive` is the file that all others are in, where they are in one."""
    inside = {"containedIn": {"@id": archive.id}} if archive else {}
    documents = [_document(one) for one in [archive, *contents.documents] if one]
    document = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": VERSION,
        "name": origins.name,
        "description": description(contents, origins),
        "license": origins.license and (spdx_url(origins.license) or origins.license),
        "url": origins.home,
        "sdPublisher": SEAL,
        "dateCreated": origins.created,
        "dateModified": origins.changed,
        "keywords": list(contents.classes)[:100],
        "distribution": [
            *(one | inside if archive and one["@id"] != archive.id else one for one in documents),
            *(_group(one) | inside for one in contents.groups),
        ],
        "recordSet": [_table(one) for one in contents.tables],
    }
    return sealed(json.dumps(_told(document), indent=2, ensure_ascii=False) + "\n")


def _told(document: dict[str, Any]) -> dict[str, Any]:
    """What is known of it."""
    return {key: value for key, value in document.items() if value not in (None, "", [])}


def _document(one: Document) -> dict[str, Any]:
    document = {
        "@type": "cr:FileObject",
        "@id": one.id,
        "name": one.path.rpartition("/")[2],
        "description": one.description,
        "contentUrl": one.path,
        "contentSize": f"{one.size} B",
        "encodingFormat": one.media_type,
        "sha256": one.sha256,
    }
    return _told(document)


def _group(one: FileGroup) -> dict[str, Any]:
    group = {
        "@type": "cr:FileSet",
        "@id": one.id,
        "name": one.id,
        "description": f"{one.description}: {one.files:,} file{'s' * (one.files != 1)} of {one.bytes:,} bytes",
        "encodingFormat": _alone(one.media_types),
        "includes": _alone(one.patterns),
    }
    return _told(group)


def _table(one: Table) -> dict[str, Any]:
    table = {
        "@type": "cr:RecordSet",
        "@id": one.id,
        "name": one.id,
        "description": one.description,
        "key": _alone(tuple({"@id": f"{one.id}/{name}"} for name in one.key)),
        "field": [_field(one, column) for column in one.columns],
    }
    return _told(table)


def _field(table: Table, column: Column) -> dict[str, Any]:
    source: dict[str, Any] = {"fileSet" if table.of_group else "fileObject": {"@id": table.source}}
    source["extract"] = dict(column.extract)
    if column.transform:
        source["transform"] = dict(column.transform)
    if column.form:
        source["format"] = column.form
    field = {
        "@type": "cr:Field",
        "@id": f"{table.id}/{column.name}",
        "name": column.name,
        "description": column.description,
        "dataType": column.type,
        "repeated": True if column.many else None,
        "source": source,
    }
    return _told(field)


def _alone(values: tuple[Any, ...]) -> Any:
    """One value as it is, several as a list."""
    return values[0] if len(values) == 1 else list(values)
