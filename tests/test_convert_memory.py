"""What conversions hold of what they read: little of it, however much there is."""

import json
import subprocess
import sys

import pytest

from drawn import picture, put

#: VmHWM is of this program alone: what getrusage tells begins with the size of the one that started it.
PROGRAM = """
import sys, visprep, visprep._convert
import visprep.coco_to_coco, visprep.coco_to_voc, visprep.coco_to_yolo, visprep.voc_to_coco, visprep.yolo_to_coco

def peak():
    return int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) // 1000

origin, to, output = sys.argv[1:4]
before = peak()
visprep.convert(origin, to=to, output=output, jobs=2, **eval(sys.argv[4]))
print(peak() - before)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Annotations of 90 MB about 300 images: 30,000 polygons of 400 corners."""
    place = tmp_path_factory.mktemp("large") / "coco"
    image = picture(1, (96, 64), "JPEG")
    for number in range(1, 301):
        put(place, f"train2017/{number:012}.jpg", image)
    corners = [[number % 90 + 0.25, number % 60 + 0.5] for number in range(400)]
    polygon = json.dumps([[side for corner in corners for side in corner]])
    (place / "annotations").mkdir()
    with (place / "annotations/instances_train2017.json").open("w") as out:
        images = [{"id": n, "file_name": f"{n:012}.jpg", "width": 96, "height": 64} for n in range(1, 301)]
        out.write(f'{{"images": {json.dumps(images)}, "categories": [{{"id": 1, "name": "cat"}}], "annotations": [')
        for number in range(30_000):
            out.write(
                f'{"," if number else ""}{{"id": {number}, "image_id": {number % 300 + 1}, "category_id": 1, '
                f'"iscrowd": 0, "area": 100, "bbox": [0.25, 0.5, 90, 60], "segmentation": {polygon}}}'
            )
        out.write("]}")
    assert (place / "annotations/instances_train2017.json").stat().st_size > 90e6
    return place


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells it")
@pytest.mark.parametrize(
    ("to", "options"), [("coco", {"image_root": "s3://b/p"}), ("yolo", {"task": "detect"}), ("voc", {})]
)
def test_memory_is_not_that_of_the_annotations(large, tmp_path, to, options):
    command = [sys.executable, "-c", PROGRAM, large, to, tmp_path / "made", repr(options)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) < 45
