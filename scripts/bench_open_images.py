"""A table of boxes of the size of Open Images' train split: what it takes to make COCO JSON of three of its classes.

The table is drawn from a seed: 14.6 million rows of 1.74 million images, some 2.2 GB, with the clicks that train has.
Every side reads the table, keeps the rows of three classes, and writes the JSON: images, boxes in pixels, flags. All
images are 1024 x 768; visprep looks that up for every image, the others are told. Every side runs in a process of its
own, in turn; seconds are those of the clock after the imports, memory is the peak of the process.

datumaro and FiftyOne hold a dataset as objects: they get the first rows of it (`--few`), all classes, and visprep the
same. datumaro writes COCO JSON too; FiftyOne's importer hands out its labels, without the database, and writes nothing.

Peers have environments of their own: `--polars DIR` names a directory with polars (`pip install --target DIR polars`);
`--pandas`, `--datumaro` and `--fiftyone` the Python of an environment that has each. pandas may be in this one.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from timing import Run, timed

ROWS, PER_IMAGE, CLASSES = 14_610_229, 14_610_229 / 1_743_042, 601
#: Rows for those who hold a dataset as objects.
FEW_ROWS = 50_000
TARGET, WITH_POLARS, MEMORY = 3.5, 5, 1_000
#: Places of the classes that are asked for in the list of classes, whose first are the most frequent.
ASKED = (5, 9, 14)

HEADER = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside,"
    "XClick1X,XClick2X,XClick3X,XClick4X,XClick1Y,XClick2Y,XClick3Y,XClick4Y\n"
)
CLOCK = """
import sys, time
table, out, names, mids = sys.argv[1], sys.argv[2], sys.argv[3].split(","), sys.argv[4].split(",")
began = time.perf_counter()
"""
#: How the rows of a peer become JSON; `rows` gives image, class, four corners and five flags.
WRITE = """
def write(rows, flags=("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside")):
    images, numbers = {}, {mid: number for number, mid in enumerate(names, 1)}
    with open(out, "w") as file:
        file.write('{"annotations": [')
        for number, (image, mid, left, right, top, bottom, *told) in enumerate(rows, 1):
            if image not in images:
                images[image] = len(images) + 1
            x, y, w, h = left * 1024, top * 768, (right - left) * 1024, (bottom - top) * 768
            record = {"id": number, "image_id": images[image], "category_id": numbers[mid], "bbox": [x, y, w, h],
                      "area": w * h, "iscrowd": int(told[2] == 1), **dict(zip(flags, told))}
            file.write("," * (number > 1) + json.dumps(record))
        file.write('], "images": [')
        for at, image in enumerate(images):
            file.write("," * (at > 0) + json.dumps({"id": at + 1, "file_name": f"train/{image}.jpg",
                       "width": 1024, "height": 768}))
        file.write('], "categories": ' + json.dumps([{"id": n, "name": m} for m, n in numbers.items()]) + "}")
    return len(images), number
"""
SIDES = {
    "csv.reader": "import csv, json"
    + CLOCK
    + WRITE
    + """
def rows():
    wanted = set(mids)
    with open(table, newline="") as file:
        reader = csv.reader(file)
        next(reader)
        for row in reader:
            if row[2] in wanted:
                yield row[0], row[2], *map(float, row[4:8]), *map(int, row[8:13])
print(*write(rows()))
""",
    "csv.DictReader": "import csv, json"
    + CLOCK
    + WRITE
    + """
corners = ("XMin", "XMax", "YMin", "YMax")
flags = ("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside")
def rows():
    wanted = set(mids)
    with open(table, newline="") as file:
        for row in csv.DictReader(file):
            if row["LabelName"] in wanted:
                yield (row["ImageID"], row["LabelName"], *(float(row[name]) for name in corners),
                       *(int(row[name]) for name in flags))
print(*write(rows()))
""",
    "pandas in chunks": "import json, pandas"
    + CLOCK
    + WRITE
    + """
columns = ["ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax",
           "IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside"]
def rows():
    for chunk in pandas.read_csv(table, usecols=columns, chunksize=500_000):
        kept = chunk[chunk.LabelName.isin(mids)]
        yield from zip(*(kept[name].tolist() for name in columns))
print(*write(rows()))
""",
    "visprep": """
from pathlib import Path
import numpy, pyarrow.csv, pyarrow.compute
from visprep.formats.open_images_classes import Classes
from visprep.formats.open_images_coco import Conversion, Sizes
from visprep.formats.open_images_csv import open_table
from visprep.formats.open_images_tables import BOXES
"""
    + CLOCK
    + """
ids, widths, heights = numpy.load(table.replace(".csv", ".sizes.npy"))
sizes = Sizes(ids, widths.astype(int), heights.astype(int))
classes = Classes({mid: mid for mid in names})
done = Conversion("train", open_table(Path(table), BOXES), sizes, classes, wanted=mids, every=False).write(Path(out))
print(done.images, done.annotations)
""",
}
POLARS = (
    "import json, polars"
    + CLOCK
    + WRITE
    + """
columns = ["ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax",
           "IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside"]
kept = polars.scan_csv(table).filter(polars.col("LabelName").is_in(mids)).select(columns).collect(engine="streaming")
print(*write(zip(*(kept[name].to_list() for name in columns))))
"""
)
#: What reads a few rows of all classes, as objects.
FEW = {
    "datumaro": """
import logging
from datumaro import Dataset
logging.disable()
"""
    + CLOCK
    + """
found = Dataset.import_from(table, "open_images")
found.export(out, "coco_instances", save_media=False)
print(len(found), sum(len(item.annotations) for item in found))
""",
    "fiftyone": "from fiftyone.utils.openimages import OpenImagesV7DatasetImporter"
    + CLOCK
    + """
with OpenImagesV7DatasetImporter(table, label_types="detections", load_hierarchy=False) as importer:
    found = [len(label.detections) if label else 0 for _, _, label in importer]
print(len(found), sum(found))
""",
    "visprep": SIDES["visprep"].replace("wanted=mids, every=False", "wanted=None, every=False"),
}
PRINT = "\nprint(time.perf_counter() - began)"


def draw(path: Path, rows: int, seed: int = 0) -> list[str]:
    """Write a table of so many rows, in the order of its images; the MIDs of its classes."""
    rng = np.random.default_rng(seed)
    count = max(1, int(rows / PER_IMAGE))
    images = np.unique(rng.integers(0, 2**63, count + 1000, dtype=np.uint64) * np.uint64(2))[:count]
    letters = np.array(list("bcdfghjklmnpqrstvwxyz_0123456789"))
    mids = [f"/m/0{''.join(rng.choice(letters, 3 + number % 4))}{number}" for number in range(CLASSES)]
    often = 1 / np.arange(1, CLASSES + 1) ** 0.9
    of_image = np.sort(rng.integers(0, count, rows))
    with path.open("w", buffering=1 << 20) as out:
        out.write(HEADER)
        for begin in range(0, rows, 100_000):
            some = images[of_image[begin : begin + 100_000]].tolist()
            kinds = rng.choice(CLASSES, len(some), p=often / often.sum()).tolist()
            left, right = np.sort(rng.random((2, len(some))), axis=0).tolist()
            top, bottom = np.sort(rng.random((2, len(some))), axis=0).tolist()
            flags = (rng.random((5, len(some))) < [[0.6], [0.25], [0.05], [0.05], [0.002]]).astype(int).tolist()
            out.writelines(
                f"{image:016x},xclick,{mids[kind]},1,{a:.6f},{b:.6f},{c:.6f},{d:.6f},{f},{g},{h},{i},{j},"
                f"{a:.6f},{(a + b) / 2:.6f},{b:.6f},{b:.6f},{c:.6f},{d:.6f},{c:.6f},{d:.6f}\n"
                for image, kind, a, b, c, d, f, g, h, i, j in zip(
                    some, kinds, left, right, top, bottom, *flags, strict=True
                )
            )
    np.save(path.with_suffix(".sizes.npy"), np.stack([images, np.full_like(images, 1024), np.full_like(images, 768)]))
    return mids


def lay_out(table: Path, mids: list[str], rows: int) -> dict[str, Path]:
    """The first rows of a table as each side of `FEW` wants them: a directory, or a table with sizes beside it."""
    places = {name: table.with_name(f"{name}-{rows}") for name in FEW}
    with table.open() as file:
        lines = [file.readline(), *itertools.islice(file, rows)]
    ids = list(dict.fromkeys(line[:16] for line in lines[1:]))
    files = {
        places["datumaro"] / "annotations" / "train-annotations-bbox.csv": lines,
        places["datumaro"] / "annotations" / "class-descriptions-boxable.csv": [f"{mid},{mid}\n" for mid in mids],
        places["datumaro"] / "annotations" / "images.meta": [f"{one} 768 1024\n" for one in ids],
        places["fiftyone"] / "labels" / "detections.csv": lines,
        places["fiftyone"] / "metadata" / "classes.csv": [f"{mid},{mid}\n" for mid in mids],
        places["visprep"].with_suffix(".csv"): lines,
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(text))
    (places["datumaro"] / "images").mkdir(exist_ok=True)
    (places["fiftyone"] / "data").mkdir(exist_ok=True)
    for one in ids:  # it looks which images there are, and opens none
        (places["fiftyone"] / "data" / f"{one}.jpg").touch()
    numbers = np.array([int(one, 16) for one in ids], np.uint64)
    sizes = np.stack([numbers, np.full_like(numbers, 1024), np.full_like(numbers, 768)])
    places["visprep"] = places["visprep"].with_suffix(".csv")
    np.save(places["visprep"].with_suffix(".sizes.npy"), sizes)
    return places


def ran(code: str, table: Path, mids: list[str], python: str, library: str | None = None) -> Run:
    """One side, to its end; its seconds stand at the end of `out`."""
    asked = ",".join(mids[place] for place in ASKED)
    env = {**os.environ, **({"PYTHONPATH": library} if library else {})}
    command = [python, "-c", code + PRINT, str(table), f"{table.with_suffix('')}.json", ",".join(mids), asked]
    run = timed(command, env)
    assert run.code == 0, run.err
    return run


def compared(sides: Mapping[str, Callable[[], Run]], pairs: int, first: str) -> None:
    """Run every side in turn, and print what each took, against the first of them."""
    results: dict[str, list[Run]] = {name: [] for name in sides}
    for number in range(pairs):
        for name in sorted(sides, reverse=bool(number % 2)):
            results[name].append(sides[name]())
    counts = {tuple(run.out.split()[-3:-1]) for runs in results.values() for run in runs}
    assert len(counts) == 1, f"they do not agree: {counts}"
    print("{:,} images and {:,} boxes".format(*map(int, counts.pop())))
    print(f"{'':24}{'wall s':>8}{'CPU s':>8}{'peak MB':>9}{f'against {first}':>20}   medians of {pairs} runs")
    for name, runs in results.items():
        seconds = [float(run.out.split()[-1]) for run in runs]
        peers = [float(run.out.split()[-1]) for run in results[first]]
        ratio = statistics.median(theirs / ours for theirs, ours in zip(peers, seconds, strict=True))
        processor = statistics.median(run.processor for run in runs)
        peak = max(run.memory for run in runs)
        print(f"{name:24}{statistics.median(seconds):8.2f}{processor:8.2f}{peak:9.0f}{ratio:19.2f}x")


def main() -> None:
    """Draw the table, run every side in turn, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS, help="[default: %(default)s]")
    parser.add_argument("--few", type=int, default=FEW_ROWS, help="rows for datumaro, FiftyOne  [default: %(default)s]")
    parser.add_argument("--pairs", type=int, default=3, help="runs of every side  [default: %(default)s]")
    parser.add_argument("--only", metavar="SIDES", help="some of the sides, with commas between them")
    parser.add_argument("--polars", metavar="DIR", help="a directory with polars")
    parser.add_argument("--pandas", metavar="PYTHON", help="the Python of an environment with pandas")
    parser.add_argument("--datumaro", metavar="PYTHON", help="the Python of an environment with datumaro")
    parser.add_argument("--fiftyone", metavar="PYTHON", help="the Python of an environment with FiftyOne")
    parser.add_argument("--folder", type=Path, help="where the table is drawn, or lies already")
    asked = parser.parse_args()
    pythons = {"pandas in chunks": asked.pandas, "datumaro": asked.datumaro, "fiftyone": asked.fiftyone}
    whole = {**SIDES, **({"polars": POLARS} if asked.polars else {})}
    if not asked.pandas and not importlib.util.find_spec("pandas"):
        whole.pop("pandas in chunks")
        print("without pandas: it is not installed, and --pandas is not said")
    if asked.only:
        whole = {name: code for name, code in whole.items() if name in asked.only.split(",")}
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        table, names = folder / f"boxes-{asked.rows}.csv", folder / f"boxes-{asked.rows}.names.json"
        if not names.exists():
            names.write_text(json.dumps(draw(table, asked.rows)))
        mids = json.loads(names.read_text())

        def side(name: str, code: str, place: Path) -> Callable[[], Run]:
            library = asked.polars if name.startswith("polars") else None
            return lambda: ran(code, place, mids, pythons.get(name) or sys.executable, library)

        if whole:
            print(f"{table.stat().st_size / 1e6:,.0f} MB, {asked.rows:,} rows; {len(ASKED)} of {len(mids)} classes")
            first = "csv.reader" if "csv.reader" in whole else next(iter(whole))
            compared({name: side(name, code, table) for name, code in whole.items()}, asked.pairs, first)
            print(f"targets: at least {TARGET}x csv.reader ({WITH_POLARS}x with polars), under {MEMORY:,} MB\n")
        if asked.datumaro or asked.fiftyone:
            places = lay_out(table, mids, asked.few)
            few = {name: code for name, code in FEW.items() if name == "visprep" or pythons[name]}
            print(f"the first {asked.few:,} rows, all classes")
            compared({name: side(name, code, places[name]) for name, code in few.items()}, asked.pairs, "visprep")


if __name__ == "__main__":
    main()
