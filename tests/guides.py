"""Pages that are followed as a reader would: each command and each piece of code, in order, in one directory."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXTRAS = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


def blocks(page: str) -> list[tuple[str, str]]:
    """The language and the text of each code block of a page."""
    return FENCED.findall(page)


def lines(text: str) -> Iterator[tuple[list[str], int]]:
    """The words of each command of a block, and the exit code that a remark behind it names; without one, 0."""
    for line in text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            told = re.search(r"# exit code (\d+)$", line)
            yield words, int(told[1]) if told else 0


class Reader:
    """Follows pages: `here` puts what is on this machine for what a page names, `more` adds options to a command."""

    def __init__(
        self,
        run: Callable[..., Any],
        monkeypatch: Any,
        here: Callable[[str], str] = lambda text: text,
        more: Callable[[Sequence[str]], Sequence[object]] = lambda words: (),
    ) -> None:
        self.run, self.monkeypatch, self.here, self.more = run, monkeypatch, here, more
        self.names: dict[str, Any] = {"__name__": "guide"}
        self.commands = 0

    def follow(self, page: Path) -> None:
        """Do all that a page says."""
        for language, text in blocks(page.read_text(encoding="utf-8")):
            if language == "python":
                exec(compile(self.here(text), page.name, "exec"), self.names)
            elif language == "sh":
                for words, code in lines(self.here(text)):
                    self.call(words, code)
            else:
                assert language in ("text", "json"), f"{page.name}: a block that nobody runs: {text}"

    def call(self, words: Sequence[str], code: int = 0) -> None:
        """Do one command of a shell."""
        program, *rest = words
        if words[:2] == ["pip", "install"]:
            found = re.fullmatch(r"visprep\[(\w+)\]", words[-1])
            assert found, words
            assert found[1] in EXTRAS, words
        elif program == "export":
            for name, _, value in (word.partition("=") for word in rest):
                self.monkeypatch.setenv(name, value)
        elif words[:2] == ["python", "scripts/train_vqvae.py"]:
            self.monkeypatch.syspath_prepend(str(ROOT / "scripts"))
            from train_vqvae import command

            assert command([*words[2:], *map(str, self.more(words))]) == code, words
        else:
            assert program == "visprep", words
            ended = self.run(*rest, *self.more(words))
            assert ended.code == code, f"{shlex.join(words)}: exit code {ended.code}\n{ended.out}{ended.err}"
            self.commands += 1
