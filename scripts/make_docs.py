"""docs/commands.md, findings.md, errors.md, split-balance.md, schemas/*.json, and tables of other pages.

They are written from the command line, the rules, the error pages, what splits come to, and what commands print. Tables
in README.md and in pages that people write stand between marks: doc_tables.py makes them.

`python scripts/make_docs.py` writes them. With `--check` it only compares, and exits 1 when one is not as it would be
written. The command line is asked for what it takes rather than for its help, whose looks differ from one terminal and
one version of Typer to the next.
"""

from __future__ import annotations

import enum
import inspect
import re
import sys
import typing
from pathlib import Path
from typing import Any

import typer.main

import doc_tables
import json_schemas
import split_balance
import visprep
from visprep import cli
from visprep.cli.application import commands_of

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MADE = "<!-- Made by scripts/make_docs.py: change the rule or the page there, and run it again. -->"
INTROS = {
    "finding": (
        "Findings",
        "What `visprep verify`, `split` and `leaks` may find wrong with data. A finding of verify is seen from its\n"
        "depth on, and only those of level `error` make the exit code 1. Each has a bad case, the least that it\n"
        "takes, and one that comes close and is none; tests show both. `visprep explain CODE` shows the same page.",
    ),
    "error": (
        "Errors",
        "Why visprep could not look or could not act. An error is one line on stderr that ends in its slug,\n"
        "`visprep: nowhere: no such directory [place-missing]`, mostly with a hint below. In Python it is an\n"
        "exception with the same `slug`, under `visprep.VisprepError`. Of a command that failed, no half-written\n"
        "file lies under its final name. `visprep explain CODE` shows the same page.",
    ),
}
COMMANDS = """# Commands

<!-- Made by scripts/make_docs.py: change the command line, or EXIT_CODES there, and run it again. -->

Every command, and what it takes; `visprep COMMAND --help` (or `-h`) says the same. Data goes to stdout, talk and
progress to stderr. `visprep --version` names the version.

A **place** is a directory, an archive (zip or tar, for reading), or `s3://bucket/prefix`. `visprep sources` lists the
sources. What can be set in other ways than by an option is in [configuration.md](configuration.md). What `--json`
prints is in [json.md](json.md), with a schema for each command.

**Completion**: `visprep --completion bash` prints what bash is to run once, and so for `fish` and `zsh`. A line for the
file that the shell reads when it starts:

```sh
eval "$(visprep --completion bash)"      # ~/.bashrc
eval "$(visprep --completion zsh)"       # ~/.zshrc, below compinit
visprep --completion fish | source       # ~/.config/fish/config.fish
```

Commands, options and their values are completed, sources, their splits and configs, layouts and codes too; elsewhere
names of files.

**Progress**: bars on a terminal, with amount, pace and time left, without colors where `NO_COLOR` is set. Where stderr
is no terminal, or one that cannot move its cursor (`TERM=dumb`), a line every ten seconds, and none for what is done
sooner. A copy is told in bytes where a file is above 16 MiB, or files are above 64 KiB on average, else in files.
`--quiet` keeps both back.

**Interrupted** by Ctrl-C or SIGTERM, a command says whether the same command goes on, and what is kept until then."""

#: Exit code -> what it means.
EXIT_CODES = {
    0: (
        "Done; or verified without an error (warnings and notes alone do not fail). Also when a pipe was closed early."
    ),
    1: (
        "verify found errors in the data (with `--fail-on warning`, warnings too); fix left some; split, "
        "gather and leaks found what is in two parts; diff found differences; what rebuild made is not the same."
    ),
    2: ("Wrong usage: an unknown command, option, source, split, config, layout or code, or text that names no place."),
    3: (
        "It could not be done, or not all of it: see [Errors](errors.md). Also when verify could not read a "
        "file, or doctor's place cannot be used."
    ),
    130: "Interrupted by Ctrl-C or SIGTERM; the same command goes on where it stopped.",
}


def documents() -> dict[str, str]:
    """Name of a file that is made as a whole -> its text."""
    return {
        "commands.md": commands(),
        **{f"{kind}s.md": document(kind) for kind in INTROS},
        "split-balance.md": split_balance.document(),
        **json_schemas.documents(),
    }


def commands() -> str:
    """The reference of the command line, as Markdown."""
    sections = (command(name, one) for name, one in commands_of(typer.main.get_command(cli.app)).items())
    rows = [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    codes = "\n".join(["## Exit codes", "", "| Code | Meaning |", "|---|---|", *rows])
    takers = f"## Options, and who takes them\n\n{doc_tables.options()}"
    return "\n\n".join([COMMANDS, codes, *sections, takers]) + "\n"


def command(name: str, one: Any) -> str:
    """The section of one command."""
    choices = {parameter: _choices(hint) for parameter, hint in typing.get_type_hints(one.callback).items()}
    arguments = [param for param in one.params if param.param_type_name == "argument"]
    options = [param for param in one.params if param.param_type_name == "option"]
    usage = " ".join(["visprep", name, "[OPTIONS]", *map(_spelled, arguments)])
    lines = [f"## `visprep {name}`", "", inspect.cleandoc(one.help), "", "```text", usage, "```", ""]
    if arguments:
        lines += ["| Argument | What it says |", "|---|---|"]
        lines += [f"| `{param.metavar}` | {_said(param)[0]} |" for param in arguments]
        lines += [""]
    lines += ["| Option | Takes | What it says | Default |", "|---|---|---|---|"]
    for param in options:
        spelled = ", ".join(f"`{spelling}`" for spelling in sorted(param.opts, key=len, reverse=True))
        said, default = _said(param)
        lines.append(f"| {spelled} | {_takes(param, choices[param.name])} | {said} | {default} |")
    return "\n".join(lines)


def _spelled(argument: Any) -> str:
    """An argument as the usage has it; of several it has dots."""
    name = str(argument.metavar)
    return f"{name}..." if argument.nargs == -1 and not name.endswith("...") else name


def _choices(hint: Any) -> list[str]:
    """What may be chosen from, empty where anything may be said."""
    kinds = [hint, *typing.get_args(hint)]
    return [member.value for kind in kinds if isinstance(kind, enum.EnumMeta) for member in kind]


def _takes(param: Any, choices: list[str]) -> str:
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    return f"`{param.metavar}`" if param.metavar else ""


def _said(param: Any) -> tuple[str, str]:
    """The help, and the default: that of the help, where it names one, else the parameter's own."""
    said, default = re.fullmatch(r"(.*?)(?:  \[default: (.*)\])?", param.help).groups()  # type: ignore[union-attr]
    default = default or (str(param.default) if param.default else "")
    return said, f"`{param.envvar}`, else {default}" if param.envvar else default


def document(kind: str) -> str:
    """All pages of one kind, as Markdown."""
    title, intro = INTROS[kind]
    pages = [page for page in visprep.explain() if page.kind == kind]
    overview = [doc_tables.errors(), ""] if kind == "error" else []
    return "\n".join([f"# {title}", "", MADE, "", intro, "", *overview, *(section(page) for page in pages)])


def section(page: visprep.Page) -> str:
    """One page, as Markdown."""
    facts = f"exit code {page.exit_code}" if page.kind == "error" else f"{page.level}, from depth `{page.depth}`"
    why = "Why" if page.kind == "error" else "Why it matters"
    cases = [f"Bad: {page.bad}", f"Not bad: {page.near}"] if page.bad else []
    body = [page.what, f"{why}: {page.why}", f"What to do: {page.fix}.", *cases]
    return "\n".join([f"## `{page.code}`", "", f"*{facts}*", "", *(f"{line}\n" for line in body)])


def main(arguments: list[str]) -> int:
    """Write, or compare; the exit code."""
    stale = []
    made = {f"docs/{name}": text for name, text in documents().items()} | doc_tables.marked()
    for name, text in made.items():
        path = ROOT / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale and "--check" in arguments:
        print(f"not as the code says: {', '.join(stale)}; run python scripts/make_docs.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
