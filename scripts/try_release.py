"""`make release`: build sdist and wheel into dist, and run each in an empty environment. pip needs a network."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"


def build(source: Path, target: str) -> None:
    """Build one of the two from a clone, or from what an sdist held."""
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(DIST)], cwd=source, check=True)


def built(name: str) -> tuple[Path, Path]:
    """The sdist, and the wheel that is built out of it."""
    build(ROOT, "sdist")
    sdist = DIST / f"{name}.tar.gz"
    with tempfile.TemporaryDirectory() as unpacked:
        with tarfile.open(sdist) as packed:
            packed.extractall(unpacked, filter="data")
        build(Path(unpacked) / name, "wheel")
    return sdist, DIST / f"{name}-py3-none-any.whl"


def tried(what: Path, extra: str, *words: str) -> None:
    """Install something into an environment of its own, and run a command there."""
    with tempfile.TemporaryDirectory() as home:
        venv.create(home, with_pip=True)
        programs = Path(home) / ("Scripts" if sys.platform == "win32" else "bin")
        pip = [
            str(programs / "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-compile",
        ]
        subprocess.run([*pip, "--constraint", str(ROOT / "constraints.txt"), f"{what}{extra}"], check=True)
        subprocess.run([str(programs / "visprep"), *words], cwd=home, check=True)


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    sdist, wheel = built(f"{project['name']}-{project['version']}")
    tried(wheel, "", "--help")
    tried(sdist, "[demo]", "demo")
    print(f"fine: {sdist.name}, {wheel.name}")
