"""The notebook for Colab runs, cell by cell, with a directory for the drive; twice, as after a session ended."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from visprep.testing import Mirror
from visprep.testing.coco import lay_out

pytest.importorskip("torch", reason="torch is in the torch extra")

FILE = Path(__file__).parents[1] / "docs/notebooks/visprep-on-colab.ipynb"
NOTEBOOK = json.loads(FILE.read_bytes())
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


@pytest.fixture
def changed(tmp_path):
    """What the cell of parameters is changed to, as its reader may: a mirror on this machine."""
    checksums = lay_out(tmp_path / "upstream")
    with Mirror(tmp_path / "upstream") as mirror:
        yield f"\nLIMIT, EPOCHS, MIRROR, CHECKSUMS = 5, 2, {mirror.url!r}, {str(checksums)!r}\n"


def text(cell, changed):
    """The code of a cell."""
    code = "".join(cell["source"])
    return code + changed if "parameters" in cell["metadata"].get("tags", ()) else code


def execute(run, changed):
    """What Jupyter does, in small: each cell in turn, where a line that begins with ! is a command."""
    names = {"__name__": "__main__"}
    said = []
    for cell in CODE:
        code = text(cell, changed)
        if code.startswith("!{sys.executable} -m visprep "):
            words = shlex.split(code.replace("{ROOT}", str(names["ROOT"])).replace("$DATA_DIR", os.environ["DATA_DIR"]))
            ended = run(*words[3:])
            assert ended.code == 0, ended.err
            said.append(ended.out + ended.err)
        else:
            exec(compile(code, FILE.name, "exec"), names)
    return names, said


def test_it_runs_and_goes_on_in_the_next_session(run, changed, capsys, monkeypatch):
    monkeypatch.setenv("DATA_DIR", "")  # the notebook sets both, and they go with the test
    monkeypatch.setenv("SPLITS_DIR", "")
    names, (status, runs) = execute(run, changed)
    assert "done" in status
    assert "colab" in runs
    assert sum(names["done"].counts.values()) == 5
    assert {path.name for path in Path("drive/MyDrive/visprep/cleaned_splits").glob("*.json")} == {
        *("maxsight_train.json", "maxsight_test.json", "split.json", "dataset.json"),
    }
    before = sorted(Path("drive/MyDrive/visprep/runs/checkpoints/colab").glob("*epoch*"))
    assert len(before) == 2
    capsys.readouterr()
    names, _ = execute(run, changed.replace("= 5, 2", "= 5, 3"))
    assert names["done"].idle
    assert names["loader"].epoch == 3
    assert len(sorted(Path("drive/MyDrive/visprep/runs/checkpoints/colab").glob("*epoch*"))) == 3


def test_it_is_a_notebook_without_results():
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])
    assert not any(cell["outputs"] or cell["execution_count"] for cell in CODE)
    told = defaultdict(list)
    for cell in CODE:
        for tag in cell["metadata"].get("tags", ()):
            told[tag].append(cell)
    assert [len(cells) for cells in told.values()] == [1]


def test_jupyter_runs_it(changed, tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="nbclient and ipykernel are in the docs extra: make site")
    nbformat = pytest.importorskip("nbformat", reason="nbclient and ipykernel are in the docs extra: make site")
    pytest.importorskip("ipykernel", reason="nbclient and ipykernel are in the docs extra: make site")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    notebook = nbformat.read(FILE, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        cell.source = text(cell, changed)
    work = tmp_path / "work"
    work.mkdir()
    nbclient.NotebookClient(notebook, timeout=100, resources={"metadata": {"path": str(work)}}).execute()
    printed = "".join(one.get("text", "") for cell in notebook.cells for one in cell.get("outputs", ()))
    assert "epoch 1 loss" in printed
    assert (work / "drive/MyDrive/visprep/coco/dataset.json").is_file()
