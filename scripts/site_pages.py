"""Hooks of mkdocs.yml: what lies above docs/ is in the site too, and so are pages that it does not name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: What lies above docs/ -> its page.
ABOVE = {"README.md": "readme.md", "CHANGELOG.md": "changelog.md"}


def on_config(config: Any) -> Any:
    """Add the pages that nobody has put into the navigation yet."""
    config.nav = navigation(config.nav, Path(config.docs_dir)) if config.nav else None
    return config


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


def navigation(nav: list[Any], docs: Path) -> list[Any]:
    """The navigation, with the pages of docs/ that it does not name as its last section."""
    pages = sorted(path.relative_to(docs).as_posix() for path in docs.rglob("*.md"))
    named = set(entries(nav))
    more = [page for page in pages if page not in named]
    return [*nav, {"More": more}] if more else nav


def entries(nav: Any) -> Iterator[str]:
    """The pages that a navigation names."""
    for one in nav if isinstance(nav, list) else nav.values():
        yield from [one] if isinstance(one, str) else entries(one)


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
