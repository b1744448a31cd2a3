"""Draw the pictures of README.md: a terminal as SVG, and, where there is Chromium, a report as PNG.

Commands are run on the embedded sample, offline, in a directory of their own, and what they print is drawn by rich.
`--check` draws the terminal again and compares: exit 1 when docs/pictures says something else than the commands do.
"""

from __future__ import annotations

import argparse
import io
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
#: What is typed, as people would; the second line damages an image, so that there is something to see.
SESSION = (
    "visprep download sample --config coco --output data/coco",
    "truncate --size=1000 data/coco/train2017/000000001014.jpg",
    "visprep verify data/coco",
    "visprep fix data/coco --how quarantine",
    "visprep split data/coco --output data/parts --parts train=0.8,val=0.2 --method exact --stratify",
)
COLUMNS = 100
#: How the page of the report is shown: wide enough for five images in a row, and from its findings on.
PAGE = (1200, 4200)
SHOWN = (0, 2150, 1200, 3575)
THEME = TerminalTheme(
    (17, 24, 39), (229, 231, 235),
    [(31, 41, 55), (248, 113, 113), (74, 222, 128), (250, 204, 21), (96, 165, 250), (232, 121, 249), (34, 211, 238),
     (229, 231, 235)],
)  # fmt: skip
#: Rich's own begins with fonts of another server: a picture asks nobody for anything.
SVG = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; \
font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>\
</clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def typed(directory: Path, session: tuple[str, ...] = SESSION) -> list[tuple[str, str]]:
    """Each command of a session, and what it prints, stdout and stderr as a terminal mixes them."""
    settings = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HF_"))},
        "COLUMNS": str(COLUMNS), "SOURCE_DATE_EPOCH": "1767225600", "HOME": str(directory), "NO_COLOR": "1",
    }  # fmt: skip
    told = []
    for command in session:
        words = shlex.split(command)
        argv = [sys.executable, "-m", *words] if words[0] == "visprep" else words
        done = subprocess.run(argv, cwd=directory, env=settings, text=True, stdout=-1, stderr=subprocess.STDOUT)
        told.append((command, done.stdout))
    return told


def terminal(told: list[tuple[str, str]]) -> str:
    """The picture of a terminal in which that was typed."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), highlight=False)
    for number, (command, words) in enumerate(told):
        console.print(Text("\n" * (number > 0) + "$ ", "green") + Text(command, "bold"), soft_wrap=True)
        for line in words.splitlines():
            console.print(Text(line, overflow="fold"), style="red" if line.lstrip().startswith("error") else "")
    return console.export_svg(title="visprep", theme=THEME, code_format=SVG, unique_id="terminal")


def report(directory: Path, browser: str) -> None:
    """Draw the page of the place as it is before anything is put aside."""
    directory.mkdir()
    told = typed(directory, (*SESSION[:2], "visprep report data/coco --output report.html"))
    page, picture = directory / "report.html", PICTURES / "report.png"
    if not page.is_file():
        raise SystemExit(f"there is no report: {told[-1][1]}")
    size = ",".join(map(str, PAGE))
    look = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={size}", "--virtual-time-budget=4000"]
    subprocess.run([browser, *look, f"--screenshot={picture}", page.as_uri()], check=True, stderr=subprocess.DEVNULL)
    with Image.open(picture) as whole:
        shown = whole.crop(SHOWN).convert("P", palette=Image.Palette.ADAPTIVE, colors=256)
    shown.save(picture, optimize=True)


def main() -> int:
    """The exit code."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--check", action="store_true", help="compare with docs/pictures, and write nothing")
    check = asked.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        drawn = terminal(typed(Path(scratch)))
        file = PICTURES / "terminal.svg"
        if check:
            same = file.read_text(encoding="utf-8") == drawn
            print("docs/pictures is as it should be" if same else f"{file}: run scripts/make_pictures.py")
            return 0 if same else 1
        PICTURES.mkdir(exist_ok=True)
        file.write_text(drawn, encoding="utf-8")
        browser = shutil.which("chromium") or shutil.which("google-chrome")
        if browser is None:
            print("there is no Chromium: the picture of the report stays as it is")
            return 0
        report(Path(scratch) / "again", browser)
    return 0


if __name__ == "__main__":
    sys.exit(main())
