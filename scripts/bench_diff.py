"""`visprep diff` of two COCO JSON files against json.load and dictionaries, written in plain Python.

Both files are drawn from a seed, 100,000 annotations each; both programs are processes of their own, from their start
to their end, in turns, and must come to the same numbers of annotations removed, added, moved and of another class.

- edited: one in a hundred annotations was moved, one in a hundred has another class, one in a hundred is gone
- rewritten: the same, and another tool wrote B: other spaces, keys sorted, so that no record is the same bytes
- renumbered: the same, and every annotation of B has another id: they are found by image, class and overlap
- moved: every annotation was moved, so that each of them is told
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench_coco import draw
from timing import Run, timed

_PEER = """
import json, sys
with open(sys.argv[1]) as one, open(sys.argv[2]) as two:
    a, b = json.load(one), json.load(two)
classes_a, classes_b = ({one["id"]: one["name"] for one in side["categories"]} for side in (a, b))
names_a, names_b = ({one["id"]: one["file_name"] for one in side["images"]} for side in (a, b))

def overlap(p, q):
    width = min(p[0] + p[2], q[0] + q[2]) - max(p[0], q[0])
    height = min(p[1] + p[3], q[1] + q[3]) - max(p[1], q[1])
    shared = max(width, 0) * max(height, 0)
    whole = p[2] * p[3] + q[2] * q[3] - shared
    return shared / whole if whole else 0.0

in_a, in_b = {one["id"]: one for one in a["annotations"]}, {one["id"]: one for one in b["annotations"]}
pairs = [(id, id) for id in in_a if id in in_b and names_a[in_a[id]["image_id"]] == names_b[in_b[id]["image_id"]]]
if sys.argv[3] == "renumbered":
    groups = {}
    for id, one in in_b.items():
        groups.setdefault(names_b[one["image_id"]], []).append(id)
    pairs, by_image = [], {}
    for id, one in in_a.items():
        by_image.setdefault(names_a[one["image_id"]], []).append(id)
    for name, ids in by_image.items():
        left = [(p, q) for p in ids for q in groups.get(name, ())]
        for same_class in (True, False):
            found = []
            for p, q in left:
                one, two = in_a[p], in_b[q]
                if same_class and classes_a[one["category_id"]] != classes_b[two["category_id"]]:
                    continue
                share = overlap(one["bbox"], two["bbox"])
                if share >= 0.5:
                    found.append((-share, p, q))
            taken_a, taken_b = set(), set()
            for _, p, q in sorted(found):
                if p not in taken_a and q not in taken_b:
                    taken_a.add(p)
                    taken_b.add(q)
                    pairs.append((p, q))
            left = [(p, q) for p, q in left if p not in taken_a and q not in taken_b]
counts = {"removed": len(in_a) - len(pairs), "added": len(in_b) - len(pairs), "moved": 0, "class": 0, "fields": 0}
for p, q in pairs:
    one, two = in_a[p], in_b[q]
    if one == two:
        continue
    told = {"id_a": p, "id_b": q, "image": names_a[one["image_id"]]}
    if one["bbox"] != two["bbox"]:
        counts["moved"] += 1
        told |= {"boxes": (one["bbox"], two["bbox"]), "iou": overlap(one["bbox"], two["bbox"])}
    if classes_a[one["category_id"]] != classes_b[two["category_id"]]:
        counts["class"] += 1
        told["classes"] = classes_a[one["category_id"]], classes_b[two["category_id"]]
    apart = ("id", "image_id", "bbox", "category_id")
    fields = [key for key in {**one, **two} if key not in apart and one.get(key) != two.get(key)]
    counts["fields"] += bool(fields)
    if len(told) > 3 or fields:
        print(json.dumps(told | {"fields": fields}))
paired = {p for p, _ in pairs}, {q for _, q in pairs}
for side, known, change in ((in_a, paired[0], "removed"), (in_b, paired[1], "added")):
    for id, one in side.items():
        if id not in known:
            print(json.dumps({"change": change, "id": id, "bbox": one["bbox"]}))
print(json.dumps(counts))
"""
_TOLD = ("removed", "added", "moved", "class")


def main() -> None:
    """Draw the files and run both programs in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=14_000, help="[default: %(default)s]")
    parser.add_argument("--annotations", type=int, default=100_000, help="[default: %(default)s]")
    parser.add_argument("--rounds", type=int, default=5, help="[default: %(default)s]")
    parser.add_argument("--cases", default="edited,rewritten,renumbered,moved", help="[default: %(default)s]")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        a, b = Path(name) / "a.json", Path(name) / "b.json"
        draw(a, asked.images, asked.annotations)
        apart(edit, a, a, "")  # as the tool that writes B has it
        print(f"{a.stat().st_size / 1e6:,.0f} MB, {asked.images:,} images, {asked.annotations:,} annotations")
        for case in asked.cases.split(","):
            apart(edit, a, b, case)
            ours, theirs = both(a, b, case, asked.rounds)
            ratios = [other.wall / our.wall for our, other in zip(ours, theirs, strict=True)]
            print(
                f"{case}: ours {seconds(ours)}, {max(one.memory for one in ours):.0f} MB; "
                f"json.load {seconds(theirs)}, {max(one.memory for one in theirs):.0f} MB; "
                f"{statistics.median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f})",
                flush=True,
            )


def both(a: Path, b: Path, case: str, rounds: int) -> tuple[list[Run], list[Run]]:
    """The runs of both programs; their numbers must be the same."""
    ours: list[Run] = []
    theirs: list[Run] = []
    for _ in range(rounds):
        ours.append(timed([sys.executable, "-m", "visprep", "diff", str(a), str(b), "--json"]))
        theirs.append(timed([sys.executable, "-c", _PEER, str(a), str(b), case]))
        told = json.loads(ours[-1].out)["record_counts"]["annotation"]
        expected = json.loads(theirs[-1].out.splitlines()[-1])
        if any(told[key] != expected[key] for key in _TOLD):
            raise SystemExit(f"{case}: {told} is not {expected}")
    return ours, theirs


def seconds(runs: list[Run]) -> str:
    """The medians of the seconds by the clock, and of the processor."""
    wall, processor = (
        statistics.median(times) for times in zip(*((one.wall, one.processor) for one in runs), strict=True)
    )
    return f"{wall:.2f} s ({processor:.2f} of the processor)"


def apart(work: Callable[..., None], *arguments: object) -> None:
    """Do it in a process of its own: what this one holds would count as the memory of those that it starts."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit("the files could not be written")


def edit(a: Path, b: Path, case: str) -> None:
    """Write B: A with some annotations changed, and for the other cases all of them written otherwise."""
    dice = random.Random(13)
    document = json.loads(a.read_bytes())
    if not case:
        b.write_text(json.dumps(document))
        return
    kept = []
    for number, one in enumerate(document["annotations"]):
        fate = 1 if case == "moved" else dice.randrange(100)
        if fate == 0:
            continue
        if fate == 1:
            one["bbox"][0] = round(one["bbox"][0] + 1, 2)
        if fate == 2:
            one["category_id"] = dice.choice([other["id"] for other in document["categories"]])
        if case == "renumbered":
            one["id"] = 5_000_000_000 + number
        kept.append(one)
    document["annotations"] = kept
    if case == "rewritten":
        b.write_text(json.dumps(document, sort_keys=True, separators=(",", ":")))
    else:
        b.write_text(json.dumps(document))


if __name__ == "__main__":
    main()
