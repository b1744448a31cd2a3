"""The application that the commands join, and what it can do without any of them."""

from __future__ import annotations

from typing import Annotated

import typer

from visprep import console

app = typer.Typer(
    name="visprep",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

#: Exit codes, beside 0 for fine and 2 for wrong usage.
FINDINGS, CANNOT, INTERRUPTED = 1, 3, 130


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        console.out(f"visprep {version('visprep')}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Prepare vision datasets: download, verify, and move them between upstream, disk, and S3."""
