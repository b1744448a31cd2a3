"""A small place of every kind that is converted, and all ways of those."""

from PIL import Image

import coco_place
import visprep
from record_places import make_tasks, write
from visprep.video import write_video

#: Kind, format, and what is asked for beside.
WAYS = (
    ("coco", "coco", {"max_side": 60}),
    ("coco", "yolo", {}),
    ("coco", "voc", {}),
    ("yolo", "coco", {}),
    ("voc", "coco", {}),
    ("tasks", "parquet", {"shard_tasks": 4}),
    ("tasks", "webdataset", {"shard_tasks": 4}),
    ("parquet", "tasks", {}),
    ("webdataset", "tasks", {}),
    ("frames", "tasks", {"prompt": "Go on."}),
    ("videos", "tasks", {"prompt": "Go on."}),
)


class Origins:
    """`of(kind)` -> a directory of it."""

    def __init__(self, home):
        self.home = home

    def of(self, kind):
        place = self.home / kind
        if not place.exists():
            self._make(kind, place)
        return place

    def _make(self, kind, place):
        if kind == "coco":
            coco_place.make(place)
        elif kind in ("yolo", "voc"):
            visprep.convert(self.of("coco"), to=kind, output=place)
        elif kind == "tasks":
            make_tasks(place, 6)
            write(place / "maze_task/maze_0000/ground_truth.avi", b"RIFF....AVI ")
        elif kind in ("parquet", "webdataset"):
            visprep.convert(self.of("tasks"), to=kind, output=place, shard_tasks=4)
        else:
            frames = [Image.new("RGB", (32, 32), (at * 20, 9, 9)) for at in range(6)]
            for number in range(2):
                episode = place / f"walk/episode{number}"
                episode.parent.mkdir(parents=True, exist_ok=True)
                if kind == "videos":
                    write_video(frames, episode.with_suffix(".mp4"))
                    continue
                episode.mkdir()
                for at, frame in enumerate(frames):
                    frame.save(episode / f"frame_{at}.png")
