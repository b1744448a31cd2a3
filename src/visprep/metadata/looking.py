"""A place as it is described: its files, their digests, and the ids that were given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from visprep.formats.directories import set_aside
from visprep.known_files import known_files, memory_of, sha256_of
from visprep.manifest import DATASET, File
from visprep.metadata import Document, FileGroup
from visprep.metadata.naming import Ids, group_below, media_type, suffix
from visprep.own_record import Listed
from visprep.stores import Store, is_record

#: What `export-metadata` writes, where it is kept with the data: it does not describe itself.
OWN = frozenset({"croissant.json", "README.md"})
#: Files at the top of a place that are named one by one; of more, those that end alike are one group.
_MANY = 50


class Place:
    """A place while it is described. `files` are its data, sorted, but for what describes it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.ids = Ids()
        memory = memory_of(store, None, needed=False)
        known = known_files(store, Listed.read(store), memory)
        self.files = tuple(
            file
            for file in known
            if not (is_record(file.path) or file.path.endswith("/") or file.path in OWN)
        )  # fmt: skip
        self.data = tuple(file for file in self.files if file.path != DATASET and not set_aside(file.path))

    def document(self, file: File, id: str | None = None, description: str = "", digest: str | None = None) -> Document:
        """One file by itself, with its sha256: as the place tells it, else of its bytes, which are read."""
        name = file.path.rpartition("/")[2]
        digest = digest or self.sha256(file)
        return Document(
            id or self.ids.of(name),
            file.path,
            media_type(file.path),
            file.size or 0,
            digest.partition(":")[2],
            description,
        )

    def sha256(self, file: File) -> str:
        """`sha256:hex` of a file."""
        return file.digest if file.digest and file.digest.startswith("sha256:") else sha256_of(file, self.store)

    def rest(self, told: Iterable[str]) -> tuple[list[Document], list[FileGroup]]:
        """All files that were not told of: those at the top one by one, the others by directory."""
        spoken = set(told)
        tops: dict[str, list[File]] = defaultdict(list)
        for file in self.files:
            if file.path not in spoken:
                tops[file.path.partition("/")[0] if "/" in file.path else ""].append(file)
        loose = tops.pop("", [])
        alike: dict[str, list[File]] = defaultdict(list)
        for file in loose if len(loose) > _MANY else ():
            alike[suffix(file.path)].append(file)
        single = {file.path for files in alike.values() if len(files) == 1 for file in files}
        documents = [self._loose(file) for file in loose if len(loose) <= _MANY or file.path in single]
        groups = [
            group_below(self.ids.of(f"files{end}"), "", files, f"Other files that end in {end}")
            for end, files in alike.items()
            if len(files) > 1
        ]
        shared = {(path.partition("/")[0], suffix(path)) for path in spoken}
        for top, files in tops.items():
            # Of these a pattern would fit others too
            apart = {file for file in files if not suffix(file.path) or (top, suffix(file.path)) in shared}
            if len(apart) > _MANY:
                apart.clear()
            documents += (self._loose(file) for file in files if file in apart)
            if held := [file for file in files if file not in apart]:
                groups.append(group_below(self.ids.of(top), top, held, f"Other files in {top}/"))
        return documents, groups

    def _loose(self, file: File) -> Document:
        words = "What was done to make this dataset, step by step" if file.path == DATASET else ""
        return self.document(file, description=words)


def chosen(files: Iterable[File], fits: Callable[[str], bool]) -> Iterator[File]:
    """The files whose path fits."""
    return (file for file in files if fits(file.path))
