"""What a training gives to its run, checked: what makes no sense is a UsageError that names the argument."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping
from typing import Any

from visprep.errors import BadPlace, UsageError
from visprep.settings import S3Settings
from visprep.stores import check_spelling
from visprep.stores.arrivals import disk_errors
from visprep.stores.local import LocalStore
from visprep.stores.s3 import S3Store


def run_store(place: str | os.PathLike[str], s3: S3Settings | None) -> LocalStore | S3Store:
    """The store of `s3://bucket/prefix` or a directory; BadPlace for what cannot be one."""
    text = os.fspath(place)
    if text.startswith("s3://"):
        return S3Store(text, s3)
    return directory(text)


def directory(place: str | os.PathLike[str]) -> LocalStore:
    """A directory that may be there or not; BadPlace for what cannot be one."""
    text = os.fspath(place)
    check_spelling(text)
    if not text or "\0" in text or "://" in text:
        raise BadPlace(f"{text!r} is no place for a run", hint="name a directory, or s3://bucket/prefix")
    store = LocalStore(text)
    with disk_errors(text):
        nearest = next(folder for folder in (store.root, *store.root.parents) if folder.exists())
        if not nearest.is_dir():
            raise BadPlace(f"{text}: {nearest} is a file, not a directory", hint="name a directory")
    return store


def whole(number: Any, what: str) -> int:
    """A whole number, of whatever type."""
    try:
        return operator.index(number)
    except (TypeError, ValueError, RuntimeError):  # a tensor raises each of them
        raise UsageError(f"{what}={number!r}: it must be a whole number") from None


def count(number: Any, what: str) -> int | None:
    """How many to keep; None stays None."""
    return None if number is None else whole(number, what)


def named_numbers(metrics: Any) -> dict[str, float]:
    """Metrics by their names."""
    if metrics is None:
        return {}
    return {str(name): _number(name, value) for name, value in mapping(metrics).items()}


def mapping(metrics: Any) -> Mapping[str, Any]:
    """Metrics, as they are."""
    if not isinstance(metrics, Mapping):
        raise UsageError(f"metrics are a {type(metrics).__name__}", hint='they are a dict, as {"loss": 0.25}')
    return metrics


def _number(name: object, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(f"the metric {name!r} is a {type(value).__name__}, and metrics are numbers") from None
