"""Tables inside pages that people write: what stands between two marks is written by scripts/make_docs.py.

<!-- NAME: made by scripts/make_docs.py -->
<!-- end of NAME -->
"""

from __future__ import annotations

import inspect
import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import typer.main
import yaml

import site_pages
import visprep
from source_facts import variables
from visprep import cli
from visprep.cli.application import commands_of
from visprep.formats.tasks import LAYOUTS
from visprep.rules import archives
from visprep.rules import files as file_rules
from visprep.rules import tasks as task_rules

ROOT = Path(__file__).parents[1]
#: What stands in a page around a table.
MARKED = re.compile(r"(<!-- ([a-z ]+): made by scripts/make_docs\.py -->\n).*?(<!-- end of \2 -->)", re.DOTALL)
#: Extra -> what it brings. One that is not here stops make_docs.py.
BRINGS = {
    "hf": "what reads datasets on the Hugging Face hub, and the tables of Open Images",
    "torch": "PyTorch, for the datasets that train from S3",
    "ray": "Ray, for `--engine ray`: the same command on the nodes of a cluster",
    "fiftyone": "FiftyOne, for `download open-images --via fiftyone`",
    "video": "PyAV: to hold videos against the frames, and to write them",
    "docs": "what builds the site of the docs, and Jupyter for the notebook",
    "demo": "`hf`, and an S3 server for `visprep demo`",
    "dev": "what the tests and checks need",
    "bench": "what benchmarks compare with",
    "browser": "Playwright and axe-core, to test the page of reports in a real browser",
    "all": "all that a user may want: `hf`, `torch`, `ray`, `fiftyone`, `video` and `demo`",
}


def written(text: str) -> str:
    """A page with its marked tables as the code says them."""
    return MARKED.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n\n{found[3]}", text)


def marked() -> dict[str, str]:
    """Path below the root -> text of every page that has marked tables."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    texts = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in pages}
    return {path: written(text) for path, text in texts.items() if MARKED.search(text)}


def _table(headings: tuple[str, ...], rows: Iterable[Iterable[str]]) -> str:
    first, *more = (f"| {' | '.join(row)} |" for row in (headings, *rows))
    return "\n".join([first, "|" + "---|" * len(headings), *more])


def _listed() -> dict[str, Any]:
    return commands_of(typer.main.get_command(cli.app))


def commands() -> str:
    """Every command with its arguments, and what it does."""
    rows = []
    for name, command in _listed().items():
        arguments = [one.metavar for one in command.params if one.param_type_name == "argument"]
        rows.append((f"`{' '.join(['visprep', name, *arguments])}`", inspect.cleandoc(command.help)))
    return _table(("Command", "What it does"), rows)


def options() -> str:
    """Every option, the commands that take it, and what it says; once for each thing that it says."""
    takers: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, command in _listed().items():
        for one in command.params:
            if one.param_type_name == "option":
                spelled = ", ".join(f"`{spelling}`" for spelling in sorted(one.opts, key=len, reverse=True))
                takers[spelled, one.help.split("  [")[0]].append(name)
    everyone = list(_listed())
    rows = [
        (spelled, "all" if names == everyone else ", ".join(names), said) for (spelled, said), names in takers.items()
    ]
    return _table(("Option", "Of", "What it says"), rows)


def extras() -> str:
    """Every extra of the package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return _table(("Extra", "Brings"), [(f"`{name}`", BRINGS[name]) for name in project["optional-dependencies"]])


def sources() -> str:
    """Every source with its splits, configs and license."""
    rows = []
    for source in visprep.list_sources():
        splits = ", ".join(f"`{split}` ({source.counts[split]:,})" for split in source.splits)
        configs = ", ".join(f"`{config}`" for config in source.configs) or "-"
        rows.append((f"`{source.name}`", splits, configs, source.license, source.title))
    return _table(("Source", "Splits (records)", "Configs", "License", "What"), rows)


def layouts() -> str:
    """Which files a task must have, and may."""
    rows = []
    for layout in LAYOUTS.values():
        files = (", ".join(f"`{name}`" for name in names) for names in (layout.required, layout.optional))
        rows.append((f"`{layout.name}`", *files))
    return _table(("Layout", "Must", "May"), rows)


def task_findings() -> str:
    """What is found in tasks, and in the files of any place."""
    rules = sorted((*archives.RULES, *file_rules.RULES, *task_rules.RULES), key=lambda rule: rule.code)
    rows = [(f"[`{rule.code}`](findings.md#{rule.code})", rule.level, rule.depth, rule.what) for rule in rules]
    return _table(("Code of a finding", "Level", "From depth", "What is wrong"), rows)


def errors() -> str:
    """Every error that is raised, with its exit code, and when it comes; not the families that they belong to."""
    family = ("This is the family", "This is the root")
    pages = [page for page in visprep.explain() if page.kind == "error" and not page.why.startswith(family)]
    rows = [(f"[`{page.code}`](#{page.code})", str(page.exit_code), page.what) for page in pages]
    return _table(("Slug", "Exit", "When"), rows)


def readers() -> str:
    """Which file reads which variables of the environment."""
    handing_on = ("git.py", "of_fiftyone.py")  # they change some for another program, and heed none
    source = Path(visprep.__file__).parent
    rows = []
    for path in sorted(source.rglob("*.py")):
        if path.name not in handing_on and (read := variables(path)):
            rows.append((f"`{path.relative_to(source).as_posix()}`", ", ".join(f"`{name}`" for name in sorted(read))))
    return _table(("Read by", "Variables"), rows)


def _navigation() -> list[Any]:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    return site_pages.navigation(nav, ROOT / "docs")


def reading() -> str:
    """The navigation of the site, a row for each part of it, with links as from above docs/."""
    rows = []
    for part in _navigation():
        ((title, pages),) = part.items()
        if isinstance(pages, str):
            title, pages = "Begin" if pages == "index.md" else title, [{title: pages}]
        if links := ", ".join(_links(pages)):
            rows.append((title, links))
    return _table(("About", "Read"), rows)


def _links(pages: list[Any]) -> Iterator[str]:
    for page in pages:
        ((title, path),) = page.items() if isinstance(page, dict) else {_heading(page): page}.items()
        if path not in site_pages.ABOVE.values():
            yield f"[{title}](docs/{path})"
        elif path == "changelog.md":
            yield f"[{title}](CHANGELOG.md)"


def _heading(path: str) -> str:
    return (ROOT / "docs" / path).read_text(encoding="utf-8").partition("\n")[0].lstrip("# ").replace("`", "")


def pages() -> str:
    """Every page that lies directly in docs/, and what the navigation of the site remarks on it."""
    remarks = dict(re.findall(r": ([a-z0-9-]+\.md)  # (.+)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    above = site_pages.ABOVE.values()
    there = [path for path in site_pages.entries(_navigation()) if path not in above and "/" not in path]
    return _table(("Page", "About"), [(f"[{path}]({path})", remarks.get(path) or _heading(path)) for path in there])


#: What a mark may name.
TABLES: dict[str, Callable[[], str]] = {
    "commands": commands,
    "options": options,
    "extras": extras,
    "sources": sources,
    "layouts": layouts,
    "findings of tasks": task_findings,
    "errors": errors,
    "readers": readers,
    "reading": reading,
    "pages": pages,
}
