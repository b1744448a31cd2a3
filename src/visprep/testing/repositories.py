"""Dataset repositories as a hub keeps them: commits with their files, branches and tags."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from visprep.testing.blobs import Blob

#: What the hub keeps in LFS, and so serves by a redirect: known suffixes, and anything large.
LFS_NAME = re.compile(
    r"\.(7z|arrow|avi|bin|gif|gz|jpe?g|mov|mp4|np[yz]|parquet|png|pt|safetensors|tar|webp|zip)", re.IGNORECASE
)
LFS_SIZE = 10 * 1024 * 1024
_DATE = "2026-01-01T00:00:00.000Z"


def is_large(path: str, size: int) -> bool:
    """Whether the hub keeps a file in LFS."""
    return bool(LFS_NAME.fullmatch(PurePosixPath(path).suffix)) or size > LFS_SIZE


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a commit."""

    path: str
    blob: Blob

    @property
    def lfs(self) -> bool:
        """Whether it is kept in LFS: it then has a SHA-256, and its bytes come from another origin."""
        return is_large(self.path, self.blob.size)

    @property
    def pointer(self) -> bytes:
        """What git itself keeps in place of an LFS file."""
        return b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (
            self.blob.sha256.encode(),
            self.blob.size,
        )

    @property
    def oid(self) -> str:
        """The git name of what git itself keeps, in hex."""
        return Blob(self.pointer).git_sha1 if self.lfs else self.blob.git_sha1

    def described(self) -> dict[str, Any]:
        """The entry as the tree API gives it."""
        plain: dict[str, Any] = {"type": "file", "path": self.path, "size": self.blob.size, "oid": self.oid}
        if self.lfs:
            plain["lfs"] = {"oid": self.blob.sha256, "size": self.blob.size, "pointerSize": len(self.pointer)}
        return plain


@dataclass(frozen=True, slots=True)
class Commit:
    """The files of a repository at one moment, by path."""

    id: str
    title: str
    files: Mapping[str, Entry]

    @property
    def folders(self) -> list[str]:
        """Every directory, sorted."""
        return sorted(
            {str(parent) for path in self.files for parent in PurePosixPath(path).parents if str(parent) != "."}
        )

    def tree(self, folder: str, recursive: bool) -> Iterator[dict[str, Any]]:
        """What lies in `folder` ("" is the root), files and directories by path."""
        lead = f"{folder}/" if folder else ""
        described = {path: entry.described() for path, entry in self.files.items()}
        described |= {path: self.folder(path) for path in self.folders}
        for path, entry in sorted(described.items()):
            if path.startswith(lead) and (recursive or "/" not in path[len(lead) :]):
                yield entry

    def folder(self, path: str) -> dict[str, Any]:
        """A directory as the tree API gives it."""
        name = hashlib.sha1(f"{self.id}/{path}".encode(), usedforsecurity=False).hexdigest()
        return {"type": "directory", "path": path, "size": 0, "oid": name}

    def described(self) -> dict[str, Any]:
        """The commit as the API gives it."""
        return {"id": self.id, "title": self.title, "message": "", "authors": [], "date": _DATE}


class Repository:
    """A dataset repository. `readers` are the tokens that may read it where it is private or gated."""

    def __init__(self, name: str, private: bool, gated: bool, readers: Iterable[str]) -> None:
        self.name, self.private, self.gated = name, private, gated
        self.readers = frozenset(readers)
        self.commits: dict[str, Commit] = {}
        self.branches: dict[str, str] = {}
        self.tags: dict[str, str] = {}

    def commit(self, files: Mapping[str, bytes | Path | Blob], branch: str = "main", title: str = "Add files") -> str:
        """Add a commit that holds exactly `files`, move the branch to it, and return its id (40 hex digits).

        A Path is served from where it lies; its digests are those of this moment.
        """
        blobs = {path: one if isinstance(one, Blob) else Blob(one) for path, one in sorted(files.items())}
        entries = {path: Entry(path, blob) for path, blob in blobs.items()}
        named = [self.branches.get(branch, ""), title, *(f"{path} {entry.oid}" for path, entry in entries.items())]
        commit = Commit(hashlib.sha1("\n".join(named).encode(), usedforsecurity=False).hexdigest(), title, entries)
        self.commits[commit.id] = commit
        self.branches[branch] = commit.id
        return commit.id

    def tag(self, name: str, commit: str) -> None:
        """Give a commit a name that does not move."""
        self.tags[name] = commit

    def at(self, revision: str) -> Commit | None:
        """The commit that a branch, a tag or an id means."""
        return self.commits.get(self.branches.get(revision) or self.tags.get(revision) or revision)

    def refs(self) -> dict[str, Any]:
        """Branches and tags as the API gives them."""

        def listed(kind: str, named: Mapping[str, str]) -> list[dict[str, str]]:
            return [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": id} for name, id in named.items()]

        return {"branches": listed("heads", self.branches), "tags": listed("tags", self.tags), "converts": []}

    def info(self, commit: Commit, blobs: bool) -> dict[str, Any]:
        """The repository as the API gives it; `blobs` adds size and digests of the files."""
        siblings = []
        for path, entry in commit.files.items():
            sibling: dict[str, Any] = {"rfilename": path}
            if blobs:
                sibling |= {"size": entry.blob.size, "blobId": entry.oid}
                if entry.lfs:
                    lfs = {"sha256": entry.blob.sha256, "size": entry.blob.size, "pointerSize": len(entry.pointer)}
                    sibling["lfs"] = lfs
            siblings.append(sibling)
        return {
            "_id": hashlib.sha1(self.name.encode(), usedforsecurity=False).hexdigest()[:24],
            "id": self.name,
            "author": self.name.partition("/")[0],
            "sha": commit.id,
            "createdAt": _DATE,
            "lastModified": _DATE,
            "private": self.private,
            "gated": "manual" if self.gated else False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": siblings,
        }
