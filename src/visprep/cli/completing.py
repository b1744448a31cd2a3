"""Shell completion: what could stand next on a command line, and the scripts by which shells ask for it.

A shell asks with `visprep __complete LINE`, the line up to the cursor, and gets a candidate a line, each with a tab and
a few words about it. No candidate means that a file name may stand there, which the shell itself completes.
"""

from __future__ import annotations

import enum
import shlex
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from visprep.cli.application import application
from visprep.errors import UnknownName, VisprepError
from visprep.options import LAYOUTS

#: The first word of a command line that a shell asks with.
ASKED = "__complete"

BASH = """\
_visprep() {
    local word candidates
    word="${COMP_WORDS[COMP_CWORD]}"
    candidates="$(visprep __complete "${COMP_LINE:0:COMP_POINT}" 2>/dev/null | cut -f 1)"
    local IFS=$'\\n'
    COMPREPLY=($candidates)
    # What stands before a colon or an equals sign is a word of its own to bash, and stays
    local typed="${COMP_LINE:0:COMP_POINT}"
    typed="${typed##*[[:space:]]}"
    local kept="${typed%"${typed##*[:=]}"}"
    local i
    for i in "${!COMPREPLY[@]}"; do COMPREPLY[i]="${COMPREPLY[i]#"$kept"}"; done
    if [[ ${#COMPREPLY[@]} == 1 && "${COMPREPLY[0]}" == *[:,=/] ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -o default -F _visprep visprep
"""

ZSH = """\
#compdef visprep
_visprep() {
    local -a values words_about
    local line
    for line in "${(@f)$(visprep __complete "${(j: :)words[1,CURRENT]}" 2>/dev/null)}"; do
        [[ -z "$line" ]] && continue
        values+=("${line%%$'\\t'*}")
        words_about+=("${${line//$'\\t'/  -- }%  -- }")
    done
    if (( ${#values} )); then
        compadd -Q -l -d words_about -a values
    else
        _files
    fi
}
compdef _visprep visprep
"""

FISH = """\
function __visprep_candidates
    set -l found (visprep __complete (commandline -cp | string collect) 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete --command visprep --no-files --arguments '(__visprep_candidates)'
"""

SCRIPTS = {"bash": BASH, "fish": FISH, "zsh": ZSH}


def script(shell: str) -> str:
    """What a shell is to run once, so that it completes; UnknownName for a shell that we have none for."""
    if shell not in SCRIPTS:
        raise UnknownName(f"there is no completion for {shell!r}", hint=f"there are: {', '.join(SCRIPTS)}")
    return SCRIPTS[shell]


def answer(line: str) -> Iterator[str]:
    """The lines that a shell is told: candidates for the last word of a command line."""
    words, current = _words(line)
    for value, about in candidates(words[1:], current):
        if value.startswith(current):
            yield f"{value}\t{about}"


def _words(line: str) -> tuple[list[str], str]:
    """The finished words of a line, and the one that is being typed."""
    reading = shlex.shlex(line, posix=True, punctuation_chars=False)
    reading.whitespace_split, reading.commenters = True, ""
    words: list[str] = []
    try:
        words += reading
    except ValueError:  # an open quote: what stands in it is being typed
        words.append(reading.token)
        return words[:-1], words[-1].lstrip("'\"")
    return (words, "") if not words or line[-1:].isspace() else (words[:-1], words[-1])


def candidates(words: Sequence[str], current: str) -> Iterator[tuple[str, str]]:
    """What may stand for `current` after the words of a command line, each with a few words about it."""
    from typer.main import get_command

    command, rest = get_command(application(words)), list(words)
    while rest and (one := getattr(command, "commands", {}).get(rest[0])):
        command, rest = one, rest[1:]
    options = {spelling: param for param in command.params for spelling in param.opts if param.opts[0][0] == "-"}
    given, arguments = _parsed(rest, options)
    name, equals, _ = current.partition("=")
    if rest and (asked := options.get(rest[-1])) and _takes_value(asked):
        yield from _values(command, asked, given, current)
    elif equals and (asked := options.get(name)) and _takes_value(asked):
        value = current[len(name) + 1 :]
        yield from ((f"{name}={found}", about) for found, about in _values(command, asked, given, value))
    elif current.startswith("-"):
        for spelling, param in (options | _HELP).items():
            if len(spelling) > 2 or current == spelling:
                yield spelling, str(getattr(param, "help", param)).partition("  [")[0]
    elif hasattr(command, "commands"):
        for name, one in command.commands.items() if not arguments else ():
            yield name, (one.help or "").partition("\n")[0]
    else:
        wanted = [param for param in command.params if param.opts[0][0] != "-"]
        at = next((param for number, param in enumerate(wanted) if param.nargs == -1 or number == arguments), None)
        if at is not None:
            yield from _values(command, at, given, current)


_HELP = {"--help": "Show this message and exit."}


def _takes_value(option: Any) -> bool:
    return not (option.is_flag or option.count)


def _parsed(words: Sequence[str], options: dict[str, Any]) -> tuple[dict[str, str], int]:
    """What was given: arguments by number and options by spelling; and how many arguments there are."""
    given: dict[str, str] = {}
    arguments, reading = 0, iter(words)
    for word in reading:
        name, _, value = word.partition("=")
        if name not in options:
            given[str(arguments)] = word
            arguments += 1
        elif _takes_value(options[name]):
            given[name] = value or next(reading, "")
    return given, arguments


def _values(command: Any, param: Any, given: dict[str, str], current: str) -> Iterator[tuple[str, str]]:
    """What may be said for an option or an argument."""
    for kind in (hint := typing.get_type_hints(command.callback).get(param.name), *typing.get_args(hint)):
        for one in (kind, *typing.get_args(kind)):
            if isinstance(one, enum.EnumMeta):
                yield from ((member.value, "") for member in one)  # type: ignore[var-annotated]
                return
    known = _KNOWN.get(param.opts[0] if param.opts[0][0] == "-" else param.metavar.strip("[]."))
    if known is None:
        return
    before = current[: current.rfind(",") + 1] if "," in str(param.metavar) else ""
    yield from ((f"{before}{value}", about) for value, about in known(given))


def _sources(_: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Names of sources, of which none is loaded."""
    from visprep.sources import BUILTIN, plugins

    yield from ((name.replace("ORG/NAME", ""), "source") for name in BUILTIN)
    yield from ((one.name, f"source of {one.package}") for one in plugins.found())


def _of_source(field: str, given: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The splits or configs of the source that stands on the line."""
    from visprep import sources

    try:
        source = sources.get(given.get("0", ""))
    except VisprepError:  # a place, or a name that there is not
        return
    yield from ((name, "") for name in getattr(source, field))


def _layouts(_: dict[str, str]) -> Iterable[tuple[str, str]]:
    return ((name, "") for name in LAYOUTS)


def _codes(_: dict[str, str]) -> Iterator[tuple[str, str]]:
    from visprep.rules.all_rules import RULES

    for rule in RULES.values():
        yield rule.code, rule.level.value


def _pages(given: dict[str, str]) -> Iterator[tuple[str, str]]:
    from visprep.error_pages import PAGES

    yield from _codes(given)
    yield from ((slug, "error") for slug in PAGES)


#: What can be named, by the spelling of the option or the name of the argument.
_KNOWN: dict[str, Callable[[dict[str, str]], Iterable[tuple[str, str]]]] = {
    "CODE": _pages,
    "SOURCE": _sources,
    "--config": lambda given: _of_source("configs", given),
    "--ignore": _codes,
    "--layout": _layouts,
    "--select": _codes,
    "--split": lambda given: _of_source("splits", given),
    "--completion": lambda _: ((shell, "") for shell in SCRIPTS),
}
