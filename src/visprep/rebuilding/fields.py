"""What the fields of a step may be: JSON may hold anything, and what a verb is told must be of the kind it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from visprep.provenance import Step

__all__ = ["check", "unknown"]

Kind = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _list(kind: Kind) -> Kind:
    return lambda value: isinstance(value, list | tuple) and all(map(kind, value))


def _table(kind: Kind) -> Kind:
    return lambda value: isinstance(value, Mapping) and all(isinstance(key, str) and kind(value[key]) for key in value)


_TEXTS = _list(_text)
_ANY: Kind = lambda _: True  # noqa: E731 -- what is not used
#: The options that the verbs record, by the command, as they are in `dataset.json`.
_OPTIONS: Mapping[str, Mapping[str, Kind]] = {
    "download": {
        **dict.fromkeys(("config", "labels", "classes"), _TEXTS),
        **dict.fromkeys(("limit", "seed"), _number),
        **dict.fromkeys(("layout", "ids"), _text),
        **dict.fromkeys(("only-matching", "keep-archives", "expand-hierarchy", "original"), _flag),
        "licenses": _list(_number),
        "map": _table(_text),
    },
    "convert": {
        **dict.fromkeys(("to", "from", "file", "image_root", "strip_root", "prompt", "task", "listing"), _text),
        **dict.fromkeys(("max_side", "quality", "window", "shard_size", "shard_tasks"), _number),
        **dict.fromkeys(("classes", "merge"), _TEXTS),
        "renumber": _flag,
    },
    "split": {
        **dict.fromkeys(("parts", "method", "extend", "group_by", "name", "how", "layout"), _text),
        **dict.fromkeys(("stratify", "near_duplicates", "clean", "drop_empty"), _flag),
        "seed": _number,
    },
    **{command: {"include": _TEXTS, "exclude": _TEXTS} for command in ("sync", "upload")},
    "edit": {"files": _ANY},
}
#: What is read of `origin`; all else of it only tells people.
_ORIGIN: Mapping[str, Mapping[str, Kind]] = {
    "download": {
        **dict.fromkeys(("via", "ids", "checksums"), _text),
        "mirrors": _TEXTS,
        "archives": _table(_table(_ANY)),
    },
    "split": {"inputs": _TEXTS},
}


def check(step: Step) -> None:
    """TypeError or KeyError for a step whose options or origin are not of the kind that its verb takes."""
    for table, kinds in ((step.options, _OPTIONS.get(step.command, {})), (step.origin, _ORIGIN.get(step.command, {}))):
        for name, value in table.items():
            if not kinds.get(name, _ANY)(value):
                raise TypeError(f"{name} of another kind")
    if step.command == "convert" and "to" not in step.options:
        raise KeyError("to")


def unknown(step: Step) -> Iterator[str]:
    """The options of a step that this version knows nothing of."""
    known = _OPTIONS.get(step.command)
    return iter(()) if known is None else (name for name in step.options if name not in known)
