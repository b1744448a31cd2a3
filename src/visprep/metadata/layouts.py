"""Metadata of records that are files: tasks, triplets, episodes, YOLO, VOC, plain images, and shards."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from visprep.formats import episodes, tasks, triplets
from visprep.formats.directories import part_of
from visprep.manifest import File
from visprep.metadata import Column, Contents, Document, FileGroup, Split, Table
from visprep.metadata.looking import Place, chosen
from visprep.metadata.naming import group, group_below, literal, suffix
from visprep.metadata.pictures import path_column, picture_table, text_table
from visprep.rules.image_files import is_image

#: Any path of a file below some directory, but not of visprep's own record.
_ANYWHERE = "[!.]*/"
_SHARD = re.compile(r"(.*?)[-_]?(?:\d+(?:-of-\d+)?)?\.(?:parquet|tar)")


def _contents(
    place: Place,
    kind: str,
    unit: str,
    groups: list[FileGroup],
    tables: list[Table],
    told: Iterable[str],
    splits: Mapping[str, int],
    *,
    documents: tuple[Document, ...] = (),
    classes: Iterable[str | None] = (),
    holds: Iterable[str] = (),
    loadable: tuple[tuple[str, str], ...] = (),
    loader: str = "",
    notes: tuple[str, ...] = (),
) -> Contents:
    more, others = place.rest(told)
    return Contents(
        kind,
        unit,
        (*documents, *more),
        (*groups, *others),
        tuple(tables),
        tuple(Split(name, count) for name, count in splits.items()),
        dict(sorted(Counter(filter(None, classes)).items())),
        frozenset(holds),
        {},
        loadable,
        loader,
        len(place.files),
        sum(file.size or 0 for file in place.files),
        notes,
    )


def _parts(keys: Iterable[str]) -> Mapping[str, int]:
    """How many records each part has, by the directory that they are in; one without a name where there are none."""
    return dict(sorted(Counter(part_of(key) or "" for key in keys).items()))


def of_tasks(place: Place) -> Contents:
    """Tasks: their frames, prompts and what belongs to them, each a table of its own with the task that it is of."""
    groups: list[FileGroup] = []
    tables: list[Table] = []
    told: set[str] = set()
    named: dict[str, list[File]] = {}
    wanted = {*tasks.FRAMES, tasks.PROMPT, *tasks.VIDEOS, *tasks.CLIPS, *tasks.METADATA_FILES, "goal.txt"}
    for file in place.data:
        home, _, name = file.path.rpartition("/")
        if home and name in wanted:
            named.setdefault(name, []).append(file)
            told.add(file.path)
    homes = [file.path.rpartition("/")[0] for file in named.get(tasks.PROMPT) or named.get(tasks.FIRST_FRAME, [])]
    task = path_column("task", "(.+)/[^/]+$", "The directory of the task, by which it is known")
    with_domain = all(_domain(home) for home in homes)
    domain = (path_column("domain", r"(?:.*/)?([^/]+)_task/[^/]+/[^/]+$", "The kind of task"),) if with_domain else ()
    for name, (id, words) in _OF_TASKS.items():
        if held := named.pop(name, []):
            one = group(place.ids.of(f"{id}-files"), (f"{_ANYWHERE}{name}",), held, words)
            groups.append(one)
            if name.endswith(".png"):
                tables.append(picture_table(place.ids.of(id), one, words, task, *domain))
            elif name.endswith(".txt"):
                said = "The text, as it is in the file: it ends in a line feed"
                column = "prompt" if name == tasks.PROMPT else "goal"
                tables.append(text_table(place.ids.of(id), one, words, task, *domain, content=column, words=said))
    holds = {"prompts"} | {
        word for word, names in _HOLDS.items() if any(file.rpartition("/")[2] in names for file in told)
    }
    return _contents(
        place, "tasks", "tasks", groups, tables, told, _parts(homes), classes=map(_domain, homes), holds=holds
    )


_OF_TASKS = {
    tasks.FIRST_FRAME: ("first_frames", "The picture that each task begins with"),
    tasks.FINAL_FRAME: ("final_frames", "The picture that each task ends with"),
    tasks.PROMPT: ("prompts", "What should happen in each task"),
    "goal.txt": ("goals", "The goal of each task"),
    **{name: (f"videos_{name.rpartition('.')[2]}", "A video of all of each task") for name in tasks.VIDEOS},
    tasks.CLIPS[0]: ("first_videos", "A video of the beginning of each task"),
    tasks.CLIPS[1]: ("last_videos", "A video of the end of each task"),
    tasks.METADATA: ("metadata", "What else is known of each task, as JSON"),
    tasks.QUESTION_METADATA: ("question_metadata", "What else is known of each task, as JSON"),
}
_HOLDS = {"final frames": {tasks.FINAL_FRAME}, "videos": {*tasks.VIDEOS, *tasks.CLIPS}}


def _domain(home: str) -> str | None:
    name = home.rpartition("/")[0].rpartition("/")[2]
    return name.removesuffix(tasks.DOMAIN_SUFFIX) if name.endswith(tasks.DOMAIN_SUFFIX) else None


def of_triplets(place: Place) -> Contents:
    """Triplets: the three pictures, each kind a table of its own with the directory and the stem that join them."""
    words = {
        "initial_image": ("persons", "A person before"),
        "cloth_image": ("cloths", "A piece of clothing"),
        "try_on_image": ("try_ons", "The person wearing it"),
    }
    groups, tables, told = [], [], set()
    found = list(triplets.find(place.data))
    nested = all(one.directory for one in found)
    directory = path_column("directory", "(.+)/(?:initial|cloth|try_on)_image/", "The directory of the triplet")
    for folder, (id, meaning) in words.items():
        held = [file for one in found for file in one.pictures[folder]]
        if not held:
            continue
        mark = triplets.FOLDERS[folder]
        ends = sorted({suffix(file.path) for file in held})
        patterns = tuple(
            f"{_ANYWHERE if nested else ''}{folder}/*_{mark}{'_*' * (mark == 'cloth')}{literal(end)}" for end in ends
        )
        one = group(place.ids.of(f"{id}-files"), patterns, held, meaning)
        groups.append(one)
        told |= {file.path for file in held}
        stem = path_column("stem", rf"(?:.*/)?{folder}/(.+{'?' * (mark == 'cloth')})_{mark}[._]", "Its name there")
        tables.append(picture_table(place.ids.of(id), one, meaning, *((directory,) if nested else ()), stem))
    return _contents(
        place, "vton", "triplets", groups, tables, told, _parts(one.key for one in found),
        classes=(one.difficulty for one in found), holds=("triplets",),
    )  # fmt: skip


def of_episodes(place: Place) -> Contents:
    """Frames, with the episode and the number of each."""
    found = list(episodes.find(place.data))
    held = [file for one in found for file in one.frames]
    nested = all(one.path for one in found)
    ends = sorted({suffix(file.path) for file in held})
    patterns = tuple(f"{_ANYWHERE if nested else ''}frame_*{literal(end)}" for end in ends)
    words = "The frames of the episodes"
    one = group(place.ids.of("frames-files"), patterns, held, words)
    said: tuple[Column, ...] = (
        path_column("number", r"(?:.*/)?frame_([0-9]+)\.[a-z]+$", "The number of the frame", "sc:Integer"),
    )
    if nested:
        said = (path_column("episode", "(.+)/frame_", "The directory of the episode"), *said)
    games = (episode.game for episode in found if episode.frames and "/" in episode.path)
    return _contents(
        place, "frames", "episodes", [one], [picture_table(place.ids.of("frames"), one, words, *said)],
        {file.path for file in held}, _parts(episode.key for episode in found if episode.frames), classes=games,
        holds=("frames",),
    )  # fmt: skip


def of_yolo(place: Place) -> Contents:
    """Images, and the text of the labels."""
    images = list(chosen(place.data, is_image))
    labels = [file for file in place.data if file.path.endswith(".txt") and "labels" in file.path.split("/")[:-1]]
    groups, tables = _by_top(place, images, "images", "The images")
    for one in _grouped(place, labels, "labels", "The labels: a line for each object, as YOLO writes them"):
        groups.append(one)
        words = "A line for each object: its class, then numbers in shares of width and height"
        tables.append(
            text_table(place.ids.of(one.id.removesuffix("-files")), one, one.description, content="label", words=words)
        )
    told = {file.path for file in (*images, *labels)}
    return _contents(place, "yolo", "images", groups, tables, told, _splits_of(images), holds=("labels",))


def of_voc(place: Place) -> Contents:
    """Images, and where their annotations are; XML is left to those who read it."""
    images = list(chosen(place.data, is_image))
    notes = list(chosen(place.data, lambda path: path.endswith(".xml")))
    groups, tables = _by_top(place, images, "images", "The images, and masks where there are any")
    groups += _grouped(place, notes, "annotations", "The annotations as XML, as Pascal VOC writes them")
    told = {file.path for file in (*images, *notes)}
    return _contents(place, "voc", "images", groups, tables, told, {"": len(notes)}, holds=("boxes",))


def of_images(place: Place) -> Contents:
    """Plain images."""
    images = list(chosen(place.data, is_image))
    groups, tables = _by_top(place, images, "images", "The images")
    splits = _splits_of(images)
    named = all(splits) and all(part_of(file.path) for file in images)
    loadable = tuple((name, f"{name}/**") for name in splits) if named else ()
    return _contents(
        place, "images", "images", groups, tables, {file.path for file in images}, splits,
        loadable=loadable, loader="images" if loadable else "",
    )  # fmt: skip


def of_shards(place: Place) -> Contents:
    """Tables in Parquet, or shards of WebDataset: each file with its digest."""
    end = ".parquet" if any(file.path.endswith(".parquet") for file in place.data) else ".tar"
    files = list(chosen(place.data, lambda path: path.endswith(end)))
    kind = "parquet" if end == ".parquet" else "webdataset"
    documents = tuple(place.document(file, description=f"A shard, as {kind} writes it") for file in files)
    stems = [_SHARD.fullmatch(file.path) for file in files]
    prefixes = dict.fromkeys(stem[1] for stem in stems if stem)
    names = {prefix: prefix.rpartition("/")[2] for prefix in prefixes}
    clear = all(re.fullmatch(r"\w+(?:\.\w+)*", name) for name in names.values())
    loadable = tuple((name, f"{prefix}*{end}") for prefix, name in names.items())
    usable = clear and len(set(names.values())) == len(names)
    return _contents(
        place, kind, "shards", [], [], {file.path for file in files}, {"": len(files)}, documents=documents,
        loadable=loadable if usable else (), loader=kind if usable else "",
    )  # fmt: skip


def _by_top(place: Place, files: list[File], id: str, words: str) -> tuple[list[FileGroup], list[Table]]:
    """Images in groups by the first directory, and a table for each."""
    groups = list(_grouped(place, files, id, words))
    return groups, [picture_table(place.ids.of(one.id.removesuffix("-files")), one, one.description) for one in groups]


def _grouped(place: Place, files: Iterable[File], id: str, words: str) -> list[FileGroup]:
    tops: dict[str, list[File]] = {}
    for file in files:
        tops.setdefault(file.path.partition("/")[0] if "/" in file.path else "", []).append(file)
    if len(tops) > 1 and "" in tops:  # what lies at the top fits all that lies deeper
        tops = {"": [file for held in tops.values() for file in held]}
    return [
        group_below(
            place.ids.of(f"{top}_{id}-files" if len(tops) > 1 else f"{id}-files"),
            top,
            held,
            f"{words} ({top}/)" if top else words,
        )
        for top, held in tops.items()
    ]


def _splits_of(images: Iterable[File]) -> Mapping[str, int]:
    """How many images each part has: by the first or the last of their directories that is called like one."""
    return dict(sorted(Counter(_part(file.path) for file in images).items()))


def _part(path: str) -> str:
    for at in (path, path.partition("/")[2]):
        if found := part_of(at):
            return found
    return ""


#: What there may be, by the name of the kind.
BY_KIND: Mapping[str, Callable[[Place], Contents]] = {
    "frames": of_episodes,
    "images": of_images,
    "parquet": of_shards,
    "tasks": of_tasks,
    "voc": of_voc,
    "vton": of_triplets,
    "webdataset": of_shards,
    "yolo": of_yolo,
}
