import io

import datasets
import pytest
from PIL import Image, ImageDraw
from visprep_arrows import REPOSITORY, Arrows

from visprep.testing import LocalHub
from visprep.testing.contracts import SourceContract


class TestArrows(SourceContract):
    name = "arrows"

    @pytest.fixture
    def upstream(self, monkeypatch):
        with LocalHub() as hub:
            hub.add(REPOSITORY).commit({f"{split}.parquet": table(split) for split in Arrows.splits})
            monkeypatch.setenv("HF_ENDPOINT", hub.url)
            yield hub


def table(split):
    """A few rows in the original's layout."""
    turns = [15 * (number + 1) for number in range(Arrows.counts[split])]
    columns = {"degrees": turns, "before": [arrow(0)] * len(turns), "after": [arrow(turn) for turn in turns]}
    columns["before"][1] = None  # a row that must be skipped
    rows = datasets.Dataset.from_dict(columns)
    for column in ("before", "after"):
        rows = rows.cast_column(column, datasets.Image())
    out = io.BytesIO()
    rows.to_parquet(out)
    return out.getvalue()


def arrow(degrees):
    picture = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(picture).polygon([(32, 8), (48, 40), (32, 32), (16, 40)], fill="teal")
    out = io.BytesIO()
    picture.rotate(-degrees, fillcolor="white").save(out, "PNG")
    return {"bytes": out.getvalue(), "path": None}
