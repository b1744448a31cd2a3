"""One self-contained page of HTML that shows a dataset, or what differs between two.

The page asks nothing of any network: its policy lets it run its own script and show its own pictures, and nothing
else. It works from a disk, in a mail, or from a bucket.
"""

import base64
import hashlib
import re
from collections.abc import Iterator
from importlib.resources import files

from visprep.page import embedding, sections
from visprep.page.payload import Payload

__all__ = ["Payload", "is_page", "render"]

_SCRIPTS = ("drawing.js", "gallery.js", "detail.js", "lists.js")
_MARK = b'<meta name="generator" content="visprep page '


def render(payload: Payload) -> Iterator[str]:
    """Yield the page in pieces, to be written as UTF-8, one after the other. The same payload makes the same bytes.

    Raises:
        ValueError: A picture or video is not a `data:` address, or an index points nowhere.
    """
    style = _read("page.css")
    script = "(() => {\n'use strict';\n" + "\n".join(_read(name) for name in _SCRIPTS) + "})();\n"
    texts = {
        "policy": _policy(style, script),
        "title": sections.shown(payload.title),
        "style": style,
        "script": script,
    }
    for piece in re.split(r"(\{\{[a-z]+\}\})", _read("page.html")):
        name = piece[2:-2] if piece.startswith("{{") else None
        if name is None:
            yield piece
        elif name == "data":
            yield from embedding.data(payload)
        elif name in texts:
            yield texts[name]
        else:
            yield getattr(sections, name)(payload)


def is_page(head: bytes) -> bool:
    """Whether a file that begins with these bytes (1,024 are enough) is a page of ours, of any version."""
    return _MARK in head[:1024]


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "media-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _read(name: str) -> str:
    return (files("visprep.page") / name).read_text(encoding="utf-8")
