"""What is known of a dataset in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from visprep.metadata import Contents, Origins
from visprep.provenance import Step

#: Classes that are named one by one; of more, how many there are.
_NAMED = 20


def description(contents: Contents, origins: Origins) -> str:
    """A paragraph: what it is, how much, and what was done to make it."""
    return " ".join(_sentences(contents, origins))


def _sentences(contents: Contents, origins: Origins) -> Iterator[str]:
    if origins.title:
        yield f"{origins.title}."
    yield f"{counts(contents)}."
    if contents.classes and len(contents.classes) <= _NAMED:
        yield f"{called(contents)}: {', '.join(contents.classes)}."
    elif contents.classes:
        yield f"{len(contents.classes):,} {called(contents).lower()}."
    if origins.steps:
        yield f"Made by {'; then '.join(map(said, origins.steps))}."


def counts(contents: Contents) -> str:
    """`16 images with 29 annotations: train2017 10, val2017 6`."""
    records = contents.records
    words = f"{records:,} {contents.unit if records != 1 else contents.unit.removesuffix('s')}"
    if contents.annotations is not None:
        words += f" with {contents.annotations:,} annotation{'s' * (contents.annotations != 1)}"
    named = [f"{split.name} {split.records:,}" for split in contents.splits if split.name]
    return f"{words}: {', '.join(named)}" if named else words


def said(step: Step) -> str:
    """One step in words: `visprep download sample (splits train2017, val2017) on 2026-11-22`."""
    inside = []
    if step.revision:
        inside.append(f"revision {step.revision}")
    if step.splits:
        inside.append(f"splits {', '.join(step.splits)}")
    words = f"visprep {step.command} {step.source}"
    words += f" ({'; '.join(inside)})" if inside else ""
    return f"{words} on {step.date[:10]}" if step.date else words


def called(contents: Contents) -> str:
    """What the classes are, with a capital."""
    return {"tasks": "Domains", "vton": "Difficulties", "frames": "Games"}.get(contents.kind, "Classes")
