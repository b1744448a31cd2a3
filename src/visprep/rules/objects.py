"""The rules of objects: what their listing says against the manifest of a place on S3, without reading them."""

from __future__ import annotations

from visprep.findings import Level
from visprep.rules import Depth, Rule

ETAGS_UNKNOWN = Rule(
    "etags-unknown",
    Level.NOTE,
    Depth.HEADERS,
    "The manifest of a place on S3 does not tell the ETags of its objects.",
    "Of objects that were replaced by others of the same size, the listing then tells nothing.",
    "verify with --depth content, which reads all; or make the copy with visprep sync, which notes the ETags",
    bad="A directory was copied to a bucket by another tool, with its `.visprep`.",
    near="The manifest tells MD5s, which the ETags of a listing are held against.",
)
FILE_REPLACED = Rule(
    "file-replaced",
    Level.ERROR,
    Depth.HEADERS,
    "An object on S3 was written again after the manifest: it has another ETag.",
    "Somebody else wrote it, or changed it on purpose; results on it cannot be compared with those on the original.",
    "send the original again with visprep sync, or see with --depth content whether its bytes are others",
    bad="val2017/000000000139.jpg was replaced by another picture of as many bytes.",
    near="It was copied onto itself, into another storage class: its metadata still tells the SHA-256 of the manifest.",
)

RULES: tuple[Rule, ...] = (ETAGS_UNKNOWN, FILE_REPLACED)
