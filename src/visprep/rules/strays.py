"""The rules of files that belong to no record of a dataset: what lies between tasks, triplets, or frames."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from visprep.findings import Finding, Level
from visprep.formats.directories import linked
from visprep.manifest import DATASET, File
from visprep.rules import Depth, Rule
from visprep.rules.image_files import is_image
from visprep.stores import Store

DIRECTORY_LINK = Rule(
    "directory-link",
    Level.ERROR,
    Depth.NAMES,
    "A directory is a symbolic link, so that nothing in it is looked at.",
    "Copied to S3 or into an archive it is not a directory; what it shows is neither checked nor counted.",
    "replace the link by what it shows: cp -rL LINK COPY, then rm LINK and mv COPY LINK; or verify what it shows",
    bad="shapes_task/t1 is a symbolic link to shapes_task/t0.",
    near="A link inside `.visprep`, which is no data.",
)
HIDDEN_FILE = Rule(
    "hidden-file",
    Level.WARNING,
    Depth.NAMES,
    "A hidden file, or one that an operating system left there, lies among the data.",
    "Nobody sees it in a listing, and it is counted and uploaded along: a .git directory with all that ever was in it.",
    "delete it, or move it out of the dataset",
    bad=".DS_Store lies beside prompt.txt.",
    near="A .gitattributes at the root of the place.",
)
UNEXPECTED_FILE = Rule(
    "unexpected-file",
    Level.WARNING,
    Depth.NAMES,
    "A file has no place in the layout of the dataset.",
    "It is uploaded and counted along; most often it is a left-over, or a misspelled name.",
    "delete it, or move it out of the dataset",
    bad="notes.txt beside prompt.txt, or beside frame_1.png.",
    near="README.md, LICENSE and croissant.json at the root of the place.",
)

RULES: tuple[Rule, ...] = (DIRECTORY_LINK, HIDDEN_FILE, UNEXPECTED_FILE)

#: What those who keep a place in git, or on a hub, put at its root; and what split and export-metadata do.
_ABOUT = re.compile(
    r"(readme|license|licence)(\.[a-z]+)?|\.gitattributes|\.gitignore|split\.json|croissant\.json", re.IGNORECASE
)
#: What systems leave beside files, in lower case; hidden on their own system only.
_LEFT = frozenset({"__macosx", "desktop.ini", "ehthumbs.db", "thumbs.db", "$recycle.bin", "system volume information"})


def check(
    files: Iterable[File], words: str, links: Collection[str] = (), places: Collection[str] = ()
) -> Iterator[Finding]:
    """A finding for each file, which `words` say something of; what lies in a hidden directory is named together.

    `links` are the paths of those that are symbolic links to directories, `places` those of places inside this one.
    """
    beneath: Counter[str] = Counter()
    for file in files:
        path = file.path
        if path not in links and _about_the_place(path, places):
            continue
        top = hidden(path)
        if top:
            beneath[top] += 1
        elif path in links:
            yield _link(path)
        else:
            yield UNEXPECTED_FILE.at(path, f"{path} {words}")
    for path, count in beneath.items():
        yield all_hidden(path, count)


def check_links(store: Store, files: Iterable[File], labels: str) -> Iterator[Finding]:
    """The symbolic links to directories: images may be in them, and labels, whose names end in `.{labels}`.

    Files that are named as one of the two are taken for files.
    """
    others = (file for file in files if not is_image(file.path) and not file.path.endswith(f".{labels}"))
    for path in sorted(linked(store, others)):
        yield _link(path)


def _link(path: str) -> Finding:
    return DIRECTORY_LINK.at(path, f"{path} is a symbolic link to a directory, and was not looked into")


def hidden(path: str) -> str | None:
    """The path down to the first part that is hidden; None when none is."""
    parts = path.split("/")
    for depth, part in enumerate(parts, 1):
        if part.startswith(".") or part.casefold() in _LEFT:
            return "/".join(parts[:depth])
    return None


def all_hidden(path: str, count: int) -> Finding:
    """That a file, or a directory with so many, is hidden."""
    return HIDDEN_FILE.at(path, f"{path} is hidden (files: {count})", files=count)


def _about_the_place(path: str, places: Collection[str]) -> bool:
    """Whether a file at the root of a place tells about the place, or how git is to treat it."""
    home, _, name = path.rpartition("/")
    return (not home or home in places) and (name == DATASET or _ABOUT.fullmatch(name) is not None)
