"""Errors as those need them who call from Python: hints without options of the command line, in the traceback too."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from visprep.errors import FileMissing, VisprepError, WrongContent

P = ParamSpec("P")
R = TypeVar("R")

#: Options that hints name for the command line, and what does the same here.
_WORDS = {
    "leave out --no-sign-request": "leave out settings=S3Settings(no_sign_request=True), or the client's UNSIGNED",
    "--no-sign-request": "settings=S3Settings(no_sign_request=True)",
    "--request-payer": "settings=S3Settings(request_payer=True)",
    "--region": "the region (settings=S3Settings(region=...), or the client's)",
    "--endpoint-url": "the endpoint (settings=S3Settings(endpoint_url=...), or the client's)",
}
_MISSING = "check the name, what is before it (bucket, prefix, directory), and for S3 the endpoint"
_DAMAGED = "put a whole image in its place; `visprep verify` of the place names all that are damaged"


def in_python(problem: VisprepError, *, image: bool = False) -> None:
    """Put an error's hint, which an `image` always has, into words that hold here, and where tracebacks show it."""
    hint = problem.hint
    if hint is None and isinstance(problem, FileMissing):
        hint = _MISSING
    elif hint is None and image and isinstance(problem, WrongContent):
        hint = _DAMAGED
    for option, words in _WORDS.items():
        hint = hint.replace(option, words) if hint else None
    problem.hint = hint
    if hint and hint not in getattr(problem, "__notes__", ()):
        problem.add_note(hint)


def told_in_python(function: Callable[P, R]) -> Callable[P, R]:
    """The function, with `in_python` for what it raises."""

    @functools.wraps(function)
    def told(*given: P.args, **named: P.kwargs) -> R:
        try:
            return function(*given, **named)
        except VisprepError as problem:
            in_python(problem)
            raise

    return told
