"""What is left of COCO once a tool has read it and written it again: `kept_by_convert.py --datumaro PYTHON ...`.

Each tool gets a small place by its defaults, in a process of its own, in an environment of its own: two images with ids
of 64 bits, a polygon with three decimals, licenses, keys that COCO does not know. A crowd is in a place of its own,
with another object in its image. The table is Markdown, for docs/convert.md; a tool without an environment is left out.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

Document = dict[str, Any]
PART = "val2017"
FILE = f"annotations/instances_{PART}.json"
POLYGON = [6.625, 4.125, 14.5, 4.125, 14.5, 9.625, 6.625, 9.625]
PLAIN: Document = {
    "info": {"description": "drawn", "year": 2017},
    "licenses": [{"id": 4, "name": "Attribution License", "url": "http://creativecommons.org/licenses/by/2.0/"}],
    "images": [
        {
            "id": id_,
            "file_name": f"{name}.jpg",
            "width": 64,
            "height": 48,
            "license": 4,
            "flickr_url": "http://flickr.com/1",
            "camera": "left",
        }
        for id_, name in ((100000000003, "a"), (100000000001, "b"))
    ],
    "annotations": [
        {
            "id": id_,
            "image_id": image,
            "category_id": 90,
            "segmentation": [POLYGON],
            "bbox": [6.625, 4.125, 7.875, 5.5],
            "area": 43.3125,
            "iscrowd": 0,
            "by_hand": "yes",
        }
        for id_, image in ((900100002685, 100000000003), (7, 100000000001))
    ],
    "categories": [{"id": 18, "name": "dog"}, {"id": 90, "name": "toothbrush"}],
    "split": "kept apart",
}
CROWD = copy.deepcopy(PLAIN)
CROWD["annotations"][0].update(
    iscrowd=1, area=48, bbox=[10, 0, 1, 48], segmentation={"counts": [480, 48, 48 * 53], "size": [48, 64]}
)
CROWD["annotations"].append({**PLAIN["annotations"][0], "id": 8})

#: Each is told the place and the file to write; the version is the last line it prints.
TOOLS = {
    "datumaro": """
from datumaro import Dataset
from datumaro.version import __version__
import glob, os, shutil
out = sys.argv[2] + ".d"
Dataset.import_from(sys.argv[1], "coco_instances").export(out, "coco_instances", save_media=True)
shutil.copy(glob.glob(out + "/annotations/*.json")[0], sys.argv[2])
print(__version__)
""",
    "supervision": f"""
from supervision import DetectionDataset, __version__
found = DetectionDataset.from_coco(sys.argv[1] + "/images/{PART}", sys.argv[1] + "/{FILE}")
found.as_coco(annotations_path=sys.argv[2])
print(__version__)
""",
    "globox": f"""
from importlib.metadata import version
from globox import AnnotationSet
AnnotationSet.from_coco(sys.argv[1] + "/{FILE}").save_coco(sys.argv[2])
print(version("globox"))
""",
    "visprep": f"""
import shutil
from importlib.metadata import version
from visprep import convert
convert(sys.argv[1], to="coco", output=sys.argv[2] + ".d")
shutil.copy(sys.argv[2] + ".d/{FILE}", sys.argv[2])
print(version("visprep"))
""",
}


def first(document: Document, kind: str = "annotations") -> Document:
    """The image called a, or its annotation."""
    image: Document = next(one for one in document["images"] if Path(one["file_name"]).stem == "a")
    return image if kind == "images" else next(o for o in document["annotations"] if o["image_id"] == image["id"])


def crowd(document: Document) -> Document:
    """The annotation whose box is nearest to that of the crowd."""
    there = CROWD["annotations"][0]["bbox"]
    return min(document["annotations"], key=lambda one: math.dist(one["bbox"], there))


def toothbrush(document: Document) -> Document:
    """The category that has this name."""
    return next(one for one in document["categories"] if one["name"] == "toothbrush")


#: What is looked at: by its words in the table.
FIELDS: dict[str, Callable[[Document], Any]] = {
    "image ids": lambda found: first(found, "images")["id"],
    "category ids": lambda found: toothbrush(found)["id"],
    "annotation ids": lambda found: first(found)["id"],
    "`info`": lambda found: found.get("info"),
    "`licenses`": lambda found: found.get("licenses"),
    "`images.license`": lambda found: first(found, "images").get("license"),
    "`images.flickr_url`": lambda found: first(found, "images").get("flickr_url"),
    "polygons": lambda found: first(found).get("segmentation"),
    "`bbox`": lambda found: first(found)["bbox"],
    "`area`": lambda found: first(found).get("area"),
    "unknown keys of images": lambda found: first(found, "images").get("camera"),
    "unknown keys of annotations": lambda found: first(found).get("by_hand"),
    "unknown keys at the top": lambda found: found.get("split"),
}
CROWDS: dict[str, Callable[[Document], Any]] = {
    "`iscrowd` of crowds": lambda found: crowd(found).get("iscrowd"),
    "RLE of crowds": lambda found: crowd(found).get("segmentation"),
}
#: Values of these are too long for a table.
LONG = frozenset({"`info`", "`licenses`", "RLE of crowds"})


def placed(place: Path, document: Document) -> Path:
    """The document as a place with its images."""
    from PIL import Image

    for below in (place / "annotations", place / "images" / PART):
        below.mkdir(parents=True)
    (place / FILE).write_text(json.dumps(document))
    for image in document["images"]:
        Image.effect_noise((64, 48), 40).convert("RGB").save(place / "images" / PART / image["file_name"])
    return place


def again(python: str, tool: str, place: Path, output: Path) -> tuple[Document | None, str]:
    """What a tool writes of a place, and its version; None and what it said where it fails."""
    command = [python, "-c", "import sys" + TOOLS[tool], str(place), str(output)]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if ran.returncode:
        return None, (ran.stderr.strip().splitlines() or ["said nothing"])[-1]
    return json.loads(output.read_text()), ran.stdout.split()[-1]


def told(name: str, before: Any, after: Any) -> str:
    """What became of a value, in the words of the table."""
    if after == before and type(after) is type(before):
        return "kept"
    if after in (None, "", [], {}):
        return "lost"
    if name in LONG:
        return "changed"
    shown = after[0][0] if name == "polygons" and after and isinstance(after, list) else after
    return f"`{json.dumps(shown)}`"


def column(python: str, tool: str, folder: Path) -> tuple[str, list[str]]:
    """The version of a tool, and what became of each field."""
    cells: list[str] = []
    version = ""
    for number, (document, fields) in enumerate(((PLAIN, FIELDS), (CROWD, CROWDS))):
        place = placed(folder / f"{tool}{number}", document)
        found, said = again(python, tool, place, folder / f"{tool}{number}.json")
        if found is None:
            print(f"{tool}: {said}", file=sys.stderr)
            cells += ["fails"] * len(fields)
            continue
        version = said
        cells += [told(name, field(document), field(found)) for name, field in fields.items()]
    return version, cells


def main() -> None:
    """Have each tool write the place again, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for tool in TOOLS:
        default = sys.executable if tool == "visprep" else None
        parser.add_argument(f"--{tool}", metavar="PYTHON", default=default, help=f"an environment with {tool}")
    pythons = {tool: python for tool, python in vars(parser.parse_args()).items() if python}
    with tempfile.TemporaryDirectory() as name:
        columns = {tool: column(python, tool, Path(name)) for tool, python in pythons.items()}
    print("| | " + " | ".join(f"{tool} {version}" for tool, (version, _) in columns.items()) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for number, field in enumerate({**FIELDS, **CROWDS}):
        print(f"| {field} | " + " | ".join(cells[number] for _, cells in columns.values()) + " |")


if __name__ == "__main__":
    main()
