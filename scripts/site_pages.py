"""Hooks of mkdocs.yml: README and changelog, which lie above docs/, are pages of the site too."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

#: What lies above docs/ -> its page.
ABOVE = {"README.md": "readme.md", "CHANGELOG.md": "changelog.md"}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of what lies above."""
    from mkdocs.structure.files import File

    root = Path(config.config_file_path).parent
    for name, page in ABOVE.items():
        files.append(File.generated(config, page, content=inside((root / name).read_text(encoding="utf-8"))))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links that lead above docs/ lead to these pages."""
    return below(markdown, page.file.src_uri)


def inside(text: str) -> str:
    """What lies above docs/, with links as from inside; what the site does not have is no link."""
    text = re.sub(r"\]\(docs/", "](", text)
    for name, page in ABOVE.items():
        text = text.replace(f"]({name}", f"]({page}")
    return re.sub(r"\[([^]]+)\]\((?!https?://|#|[\w./-]+\.(?:md|ipynb|svg|png|json))[^)]+\)", r"\1", text)


def below(text: str, path: str) -> str:
    """A page of docs/ at `path`, with its links to what lies above leading to the page of that."""
    up = os.path.relpath(".", os.path.dirname(path) or ".")  # noqa: PTH120 -- of links, not of files
    above = "../" if up == "." else f"../{up}/"
    for name, page in ABOVE.items():
        text = text.replace(f"]({above}{name}", f"]({up}/{page}")
    return text
