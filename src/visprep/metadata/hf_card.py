"""A dataset card of the Hugging Face hub: README.md, with YAML for its search and its viewer at the top."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from visprep.metadata import Contents, Origins
from visprep.metadata.licenses import hub_license, spdx_url
from visprep.metadata.sentences import called, counts
from visprep.metadata.written import SEAL, sealed
from visprep.provenance import Step
from visprep.render.text import code_span, counted

#: What of the records is there -> what the hub calls a use of it.
_USES = (
    ("object-detection", {"boxes"}),
    ("image-segmentation", {"masks"}),
    ("keypoint-detection", {"keypoints"}),
    ("image-to-text", {"captions"}),
    ("image-to-video", {"prompts", "videos"}),
    ("image-to-image", {"prompts", "final frames"}),
    ("image-to-image", {"triplets"}),
)
#: The hub's sizes, by the number of records from which on they do not fit.
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
)
_HUB = "https://huggingface.co/datasets/"
#: Classes that are told one by one.
_CLASSES = 100


def hf_card(contents: Contents, origins: Origins) -> str:
    """The card: what is known for the hub, then the same and more for people."""
    import yaml

    told = {key: value for key, value in _front(contents, origins) if value}
    front = yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=1_000)
    body = "\n\n".join(section for section in _sections(contents, origins) if section)
    return sealed(f"---\n{front}---\n\n{body}\n\n<!-- {SEAL} -->\n")


def _front(contents: Contents, origins: Origins) -> Iterator[tuple[str, Any]]:
    yield "pretty_name", origins.name
    if origins.license:
        ids, name = hub_license(origins.license)
        yield "license", ids[0] if len(ids) == 1 else list(ids)
        yield "license_name", name
    uses = [name for name, needs in _USES if needs <= contents.holds]
    yield "task_categories", list(dict.fromkeys(uses))
    if contents.unit != "shards" and contents.records:
        yield "size_categories", [_size(contents.records)]
    if origins.home and origins.home.startswith(_HUB):
        yield "source_datasets", [origins.home.removeprefix(_HUB)]
    yield "configs", list(_configs(contents))


def _size(records: int) -> str:
    return next((name for limit, name in _SIZES if records < limit), "n>1T" if records >= 10**12 else "1B<n<10B")


def _configs(contents: Contents) -> Iterator[Mapping[str, Any]]:
    if contents.loadable:
        paths: dict[str, list[str]] = {}
        for split, path in contents.loadable:
            paths.setdefault(split, []).append(path)
        files = [{"split": split, "path": some[0] if len(some) == 1 else some} for split, some in paths.items()]
        config: dict[str, Any] = {"config_name": "default", "data_files": files}
        if contents.loader == "images":
            config["drop_labels"] = True  # else directories would be taken for classes
        yield config


def _sections(contents: Contents, origins: Origins) -> Iterator[str]:
    yield f"# {_plain(origins.name)}"
    yield "\n\n".join(_told(contents, origins))
    yield _splits(contents)
    yield _classes(contents)
    yield _licenses(contents, origins)
    yield _files(contents)
    yield _loading(contents)
    yield _made(origins)


def _told(contents: Contents, origins: Origins) -> Iterator[str]:
    if origins.title:
        yield f"{_plain(origins.title)}."
    yield f"{_plain(counts(contents))}. {counted(contents.files, 'file')}, {contents.bytes:,} bytes."
    if origins.home:
        yield f"Source: <{origins.home}>"


def _splits(contents: Contents) -> str:
    if not any(split.name for split in contents.splits):
        return ""
    counted = any(split.annotations is not None for split in contents.splits)
    heads = ("Split", contents.unit.capitalize(), *(("Annotations",) if counted else ()))
    rows = [
        (_code(split.name), f"{split.records:,}", *((_number(split.annotations),) if counted else ()))
        for split in contents.splits
    ]
    return f"## Splits\n\n{_table(heads, rows)}"


def _classes(contents: Contents) -> str:
    if not contents.classes:
        return ""
    what = "Annotations" if contents.annotations is not None else contents.unit.capitalize()
    rows = [(_plain(name), f"{count:,}") for name, count in contents.classes.items()]
    rest = len(rows) - _CLASSES
    more = f"\n\nAnd {rest:,} more." if rest > 0 else ""
    title = called(contents)
    return f"## {title}\n\n{_table((title, what), rows[:_CLASSES])}{more}"


def _licenses(contents: Contents, origins: Origins) -> str:
    if not origins.license and not contents.licenses:
        return ""
    said = ""
    if origins.license:
        url = spdx_url(origins.license)
        said = f"[{_plain(origins.license)}]({url})" if url else _plain(origins.license)
        said = f"{said}, as recorded when the dataset was downloaded."
    rows = [(_plain(name), f"{count:,}") for name, count in contents.licenses.items()]
    each = f"What the annotation files say of the images:\n\n{_table(('License', 'Images'), rows)}" if rows else ""
    return "\n\n".join(filter(None, ("## License", said, each)))


def _files(contents: Contents) -> str:
    rows = [
        (
            ", ".join(map(_code, group.patterns)),
            _plain(group.description),
            f"{group.files:,}",
            f"{group.bytes:,}",
        )
        for group in contents.groups
    ]
    sizes = {document.path: (document.description, document.size) for document in reversed(contents.documents)}
    for path in dict.fromkeys(document.path for document in contents.documents):
        words = "COCO JSON" if sizes[path][0].startswith("COCO JSON") else sizes[path][0]
        rows.append((_code(path), _plain(words), "1", f"{sizes[path][1]:,}"))
    return f"## Files\n\n{_table(('Files', 'What they are', 'Number', 'Bytes'), rows)}"


def _loading(contents: Contents) -> str:
    if not contents.loadable:
        return ""
    words = "`datasets.load_dataset` loads the splits that are named at the top of this card"
    if contents.loader == "images":
        words += ": the images, without their annotations"
        words += ", which are in the files named above" if contents.annotations is not None else ""
    return f"## Loading\n\n{words}."


def _made(origins: Origins) -> str:
    if not origins.steps:
        return ""
    steps = "\n".join(f"{number}. {_step(step)}" for number, step in enumerate(origins.steps, 1))
    digest = (
        f"\n\nThe list of the files with their sizes and digests has the digest {_code(origins.digest)}."
        if origins.digest
        else ""
    )
    return f"## How it was made\n\n`dataset.json` tells it in full.\n\n{steps}{digest}"


def _step(step: Step) -> str:
    words = f"{_code(f'visprep {step.command}')} of {_plain(step.source)}"
    if step.revision:
        words += f", revision {_code(step.revision)}"
    if step.splits:
        words += f", splits {', '.join(map(_code, step.splits))}"
    if step.options:
        told = (_code(f"{name}={_value(value)}") for name, value in step.options.items())
        words += f", with {', '.join(told)}"
    if step.date:
        words += f", on {_plain(step.date)}"
    versions = ", ".join(_plain(f"{name} {version}") for name, version in step.versions.items())
    return f"{words} ({versions})" if versions else words


def _value(value: Any) -> str:
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{said[:77]}..." if len(said) > 80 else said


def _number(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _code(text: str) -> str:
    """Text in a code span; `?` where a name of a file is no Unicode, as in all metadata."""
    return code_span(text.encode(errors="replace").decode())


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    for sign in ("\\", "`", "*", "_", "[", "]", "<", ">", "#"):
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())
