"""CocoS3Dataset over a file of the size of instances_train2017.json: when its first sample comes, what workers hold.

The file is drawn from a seed, 860,001 annotations, some 443 MB; a few of its images are there, all of them one JPEG on
disk. Every start is a process of its own; its seconds are those of the clock, from after the imports to the first
sample. Memory is the proportional set size (PSS) that Linux tells of a worker: what it shares counts in parts.

- first: nothing is kept yet, the whole file is read, and its index written
- second: the index is there
- small: workers of the same dataset over a file of the images that are there, without annotations, for comparison
- lists: workers of a dataset over json.load's lists, as most are written (`--lists`; takes some GB for each)
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from bench_coco import ANNOTATIONS, IMAGES, draw
from timing import timed

_WORKER = """
import multiprocessing, sys, time
file, root, keep, method, workers, there = sys.argv[1:]
from PIL import Image
from torch.utils.data import DataLoader, Dataset, Subset
from visprep.loaders import CocoS3Dataset, collate_samples

def held(pid):
    # Its PSS, that of the mapped index, and what of that is private, in MB
    found, inside = [0, 0, 0], False
    for line in open(f"/proc/{pid}/smaps"):
        name, *rest = line.split()
        if not name.endswith(":"):
            inside = line.rstrip().endswith("/columns")
        elif name == "Pss:":
            found[0] += int(rest[0])
            found[1] += inside * int(rest[0])
        elif inside and name.startswith("Private_"):
            found[2] += int(rest[0])
    return [one / 1024 for one in found]

class Lists(Dataset):
    def __init__(self):
        import json
        document = json.load(open(file))
        self.images, self.annotations = document["images"], {}
        for one in document["annotations"]:
            self.annotations.setdefault(one["image_id"], []).append(one)
    def __len__(self):
        return len(self.images)
    def __getitem__(self, index):
        info = self.images[index]
        image = Image.open(f"{root}/{info['file_name']}").convert("RGB")
        return image, info, self.annotations.get(info["id"], [])

def nothing(samples):
    return len(samples)

def hold(dataset):
    loader = DataLoader(dataset, 50, num_workers=int(workers), multiprocessing_context=method, collate_fn=nothing,
                        persistent_workers=True)
    for _ in range(2):
        assert sum(loader) == len(dataset)
    return [held(child.pid) for child in multiprocessing.active_children()]

def some(dataset):
    step = len(dataset) // int(there)
    return Subset(dataset, range(0, step * int(there), step))
"""
_START = (
    _WORKER
    + """
began = time.perf_counter()
dataset = CocoS3Dataset(file, image_root=root, index_dir=keep, handle_errors="raise")
image, found = dataset[0]
print(time.perf_counter() - began, len(dataset), image.size[0])
"""
)
_SIDES = {
    "ours": 'made = some(CocoS3Dataset(file, image_root=root, index_dir=keep, handle_errors="raise"))',
    "small": 'made = CocoS3Dataset(f"{root}.json", image_root=root, index_dir=keep, handle_errors="raise")',
    "lists": "made = some(Lists())",
}
_HOLD = """
if __name__ == "__main__":
    import json
    print(json.dumps(hold(made)))
"""


def place(folder: Path, given: Path | None, images: int, annotations: int, wanted: int) -> tuple[Path, Path, int]:
    """Draw the file where none is given, and put some of its images into a directory; how many."""
    from PIL import Image

    file, root = given or folder / "instances.json", folder / "images"
    if not given:
        draw(file, images, annotations)
    root.mkdir()
    picture = folder / "one.jpg"
    noise = Image.effect_noise((160, 120), 60)
    Image.merge("RGB", [noise] * 3).save(picture, quality=90)
    from visprep.formats.coco_json import JsonFile, index

    names = index(JsonFile.on_disk(file)).images.file_names
    there = min(wanted, len(names))
    chosen = names[:: len(names) // there][:there]
    for name in chosen:
        (root / str(name)).symlink_to(picture)
    small = {"images": [{"id": number, "file_name": name} for number, name in enumerate(chosen)]}
    root.with_suffix(".json").write_text(json.dumps(small))
    return file, root, there


def ran(folder: Path, code: str, *arguments: object) -> str:
    """What a side printed; it is a file, since workers that are spawned import it again."""
    script = folder / "side.py"
    script.write_text(code)
    found = timed([sys.executable, str(script), *map(str, arguments)])
    if found.code:
        sys.exit(found.err)
    return found.out


def main() -> None:
    """Draw the file, start twice and more, and look at the workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=IMAGES, help="[default: %(default)s]")
    parser.add_argument("--annotations", type=int, default=ANNOTATIONS, help="[default: %(default)s]")
    parser.add_argument("--file", type=Path, help="a file that is there already, instead of drawing one")
    parser.add_argument("--there", type=int, default=2_000, help="images that are there  [default: %(default)s]")
    parser.add_argument("--workers", type=int, default=4, help="[default: %(default)s]")
    parser.add_argument("--starts", type=int, default=5, help="after the first  [default: %(default)s]")
    parser.add_argument("--methods", default="fork,spawn", help="how workers are started  [default: %(default)s]")
    parser.add_argument("--lists", action="store_true", help="measure workers over json.load's lists, too")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, root, there = place(folder, asked.file, asked.images, asked.annotations, asked.there)
        keep = folder / "index"
        print(f"{file.stat().st_size / 1e6:,.0f} MB, {asked.images:,} images, {asked.annotations:,} annotations")
        rest = [file, root, keep, "fork", asked.workers, there]
        seconds = [float(ran(folder, _START, *rest).split()[0]) for _ in range(1 + asked.starts)]
        size = sum(one.stat().st_size for one in keep.glob("*/columns")) / 1e6
        print(f"first start: {seconds[0]:.2f} s to the first sample; the index has {size:.1f} MB")
        print(f"later starts: {statistics.median(seconds[1:]):.3f} s, at most {max(seconds[1:]):.3f} s")
        for method in asked.methods.split(","):
            least = 0.0
            for side in ("small", "ours", *(["lists"] if asked.lists and method == "fork" else [])):
                code = _WORKER + _guarded(_SIDES[side]) + _HOLD
                each = json.loads(ran(folder, code, *rest[:3], method, *rest[4:]))
                whole, mapped, private = (statistics.mean(column) for column in zip(*each, strict=True))
                least = whole if side == "small" else least
                words = f"{whole:.1f} MB each, {whole - least:+.1f} against small"
                words += f"; of that {mapped:.1f} of the mapped index, {private:.1f} of it private"
                print(f"{method}, {asked.workers} workers, {side}: {words}", flush=True)


def _guarded(code: str) -> str:
    return f'\nif __name__ == "__main__":\n    {code}\n'


if __name__ == "__main__":
    main()
