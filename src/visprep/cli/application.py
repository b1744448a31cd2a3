"""The application: its verbs, each in a module of its own name, and what it can do without any of them."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Optional

import typer
import typer.core

from visprep import console
from visprep.errors import UsageError

#: In the order in which they are told.
VERBS = (
    "demo", "doctor", "sources", "download", "status", "verify", "fix", "split", "leaks", "gather", "convert",
    "upload", "publish", "sync", "diff", "ls", "stats", "report", "export-metadata", "rebuild", "runs",
    "explain",
)  # fmt: skip

#: The verbs that have verbs of their own, told in this order; the function of `runs list` is `list_runs`.
GROUPS = {"runs": ("list", "show", "pull", "push", "logs", "tensorboard")}

#: Exit codes, beside 0 for fine and 2 for wrong usage.
FINDINGS, CANNOT, INTERRUPTED = 1, 3, 130


def application(words: Sequence[str] = ()) -> typer.Typer:
    """The application with the verb that the words of a command line begin with, or with all where it begins otherwise.

    A command that has nothing to copy is done in less time than it takes to make all verbs.
    """
    app = typer.Typer(
        name="visprep",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(cls=_Group)(_options)
    for verb in words[:1] if words and words[0] in VERBS else VERBS:
        function = verb.replace("-", "_")
        module = importlib.import_module(f"visprep.cli.{function}")
        if verb not in GROUPS:
            _add(app, verb, getattr(module, function))
            continue
        group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
        group.callback(cls=_Group)(getattr(module, verb))
        for name in GROUPS[verb]:
            _add(group, name, getattr(module, f"{name}_{verb}"))
        app.add_typer(group, name=verb, short_help=_shortly(getattr(module, verb)))
    return app


def _add(group: typer.Typer, name: str, function: Callable[..., Any]) -> None:
    """A command."""
    group.command(name, cls=_Command, short_help=_shortly(function))(function)


def _shortly(function: Callable[..., Any]) -> str:
    """What the list of commands says of one: all but exit codes, where Typer would cut it off after so many letters."""
    return (inspect.getdoc(function) or "").partition(": exit ")[0]


def commands_of(group: Any, words: str = "") -> dict[str, Any]:
    """Every command of an application that Typer made, by all its words: `ls`, `runs list`."""
    found: dict[str, Any] = {}
    for name, one in group.commands.items():
        called = f"{words}{name}"
        found |= commands_of(one, f"{called} ") if hasattr(one, "commands") else {called: one}
    return found


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        console.out(f"visprep {version('visprep')}\n")
        raise typer.Exit


def _completion(shell: Optional[str]) -> None:  # noqa: UP045 -- typer reads the annotation at run time
    if shell:
        from visprep.cli.completing import script

        console.out(script(shell))
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    completion: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--completion",
            metavar="SHELL",
            callback=_completion,
            is_eager=True,
            help="Print what bash, fish or zsh runs to complete.",
        ),
    ] = None,
) -> None:
    """Prepare vision datasets: download, verify, and move them between upstream, disk, and S3."""


class _Light:
    """A command that converts no text to text: Typer does so with pydantic, which takes longer to load than Typer."""

    def get_params(self, context: Any) -> list[Any]:
        """See click; this is what it parses by."""
        found: list[Any] = super().get_params(context)  # type: ignore[misc]
        for parameter in found:
            way = getattr(parameter, "get_runtime_param", None)
            if way and not isinstance(way, _Conversion):  # Typer has it from 0.27 on
                parameter.get_runtime_param = _Conversion(parameter, way)
        return found


class _Command(_Light, typer.core.TyperCommand):
    def invoke(self, context: Any) -> Any:
        """See click. A cluster is asked for with its engine; one that the environment names waits until it is."""
        asked = context.params
        address = asked.get("ray_address")
        if address:
            typed = context.get_parameter_source("ray_address").name == "COMMANDLINE"
            if asked["engine"] == "ray":
                from visprep.engines import check_address  # here, since a command line loads without them

                check_address(address, "--ray-address" if typed else "RAY_ADDRESS")
            elif typed:
                raise UsageError(f"--ray-address {address} needs --engine ray", hint="add --engine ray")
            else:
                asked["ray_address"] = None
        return super().invoke(context)


class _Group(_Light, typer.core.TyperGroup):
    pass


class _Conversion:
    """In place of Typer's conversion of one parameter: that, but for what is there already as it is wanted."""

    def __init__(self, parameter: Any, whole: Callable[[], Any]) -> None:
        self._parameter, self._whole = parameter, whole

    def __call__(self) -> _Conversion:
        return self

    def coerce(self, value: Any, **context: Any) -> Any:
        """`value`, as the parameter wants it."""
        if value is None:
            return () if self._parameter.multiple or self._parameter.nargs == -1 else None
        done = type(value) is self._parameter.type_descriptor.annotation
        return value if done else self._whole().coerce(value, **context)
