"""What the parser refuses, said as every other error is: one line with its slug, and what to type next."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import cast

import typer

from visprep.cli.application import GROUPS, VERBS
from visprep.errors import UsageError

#: What the parser raises when a command line makes no sense.
Refused = cast("type[Exception]", typer.BadParameter.__base__)

#: Its words, and ours.
_WORDS = (
    (r"Invalid value(?: for '?([^']*?)'?)?: ", r"\1: "),
    (r"Value error, ", ""),
    (r"Input should be a valid integer.*", "a whole number is needed"),
    (r"Input should be a valid number.*", "a number is needed"),
    (r"Input should be greater than or equal to (\S+)", r"\1 at least"),
    (r"Input should be less than or equal to (\S+)", r"\1 at most"),
    (r"No such option: (\S+).*", r"there is no option \1"),
    (r"No such command '(.*?)'.*", r"there is no command \1"),
    (r"Missing (?:argument|option) '(.*?)'.*", r"\1 is missing"),
    (r"Option '(.*?)' requires an argument.*", r"\1 needs a value"),
    (r"Option '(.*?)' does not take a value.*", r"\1 takes no value"),
    (r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", r"nothing is known to do with: \1"),
    (r"\.$", ""),
)


def asks_for_help(problem: Exception) -> bool:
    """Whether nothing was typed but the name of a group: then its words are the help."""
    return type(problem).__name__ == "NoArgsIsHelpError"


def in_words(problem: Exception, words: Sequence[str]) -> UsageError:
    """The error for a command line of these words that the parser refused."""
    said = told = str(getattr(problem, "format_message", problem.__str__)())
    for theirs, ours in _WORDS:
        told = re.sub(theirs, ours, told, flags=re.DOTALL)
    meant = re.findall(r"Did you mean (.*)\?", said)
    near = [one.strip("' ") for text in meant for one in text.split(",")] or getattr(problem, "possibilities", None)
    if one_of := re.search(r"'([^']*)' is not one of (.+)", told):
        near = near or difflib.get_close_matches(one_of[1], re.findall(r"'([^']*)'", one_of[2]), n=1)
    _, _, choices = said.partition("Choose from:")
    hints = [f"did you mean {' or '.join(near)}?"] if near else []
    hints += [f"it is one of {' '.join(choices.split())};"] if choices else []
    if words[0] not in VERBS:
        hints += ["visprep --help lists what there is"]
    else:
        inner = words[0] in GROUPS and words[1:2] and words[1] in GROUPS[words[0]]
        hints += [f"visprep {' '.join(words[: 2 if inner else 1])} --help lists what it takes"]
    return UsageError(told, hint=" ".join(hints))
