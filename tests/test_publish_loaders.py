"""Training from a published place: a dataset has one version whole, whatever is published meanwhile."""

from __future__ import annotations

import io
import json
import threading

import pytest
from PIL import Image

import visprep

pytest.importorskip("torch", reason="the loaders need the extra 'torch'")

from record_places import make_episodes, make_triplets
from visprep.loaders import CocoS3Dataset
from visprep.loaders.frames import FrameDataset
from visprep.loaders.vton import S3VTONDataset

COUNT = 4


def write(place, shade: int) -> None:
    """Every image is of this shade, and every caption says it."""
    (place / "train2017").mkdir(parents=True, exist_ok=True)
    (place / "annotations").mkdir(exist_ok=True)
    images, annotations = [], []
    for number in range(COUNT):
        held = io.BytesIO()
        Image.new("RGB", (16, 16), (shade,) * 3).save(held, "PNG")
        (place / f"train2017/{number}.png").write_bytes(held.getvalue() + bytes(number))
        images.append({"id": number, "file_name": f"{number}.png", "width": 16, "height": 16})
        annotations.append({"id": number, "image_id": number, "caption": str(shade)})
    text = json.dumps({"images": images, "annotations": annotations})
    (place / "annotations/captions_train2017.json").write_text(text)


def shades(dataset: CocoS3Dataset) -> set[str]:
    """What images and annotations tell of their version."""
    found = set()
    for number in range(len(dataset)):
        image, told = dataset[number]
        found |= {str(image.getpixel((8, 8))[0]), *(one["caption"] for one in told["annotations"])}
    return found


def test_a_dataset_has_one_version_whole_while_others_publish(bucket, tmp_path):
    place, url = tmp_path / "place", f"s3://{bucket}/sets/mine"
    file = f"{url}/annotations/captions_train2017.json"
    write(place, 0)
    visprep.publish(place, url)
    stop, wrong, seen = threading.Event(), [], set()

    def train(number: int) -> None:
        turn = 0
        while not stop.is_set() or turn < 2:
            turn += 1
            try:
                dataset = CocoS3Dataset(file, handle_errors="raise", index_dir=tmp_path / f"index-{number}")
                found = shades(dataset) | shades(dataset)
                dataset.close()
            except Exception as problem:
                wrong.append(problem)
                return
            if len(found) != 1:
                wrong.append(found)
            seen.update(found)

    first = CocoS3Dataset(file, handle_errors="raise", index_dir=tmp_path / "index")
    trainings = [threading.Thread(target=train, args=(number,)) for number in range(2)]
    for training in trainings:
        training.start()
    for shade in range(20, 200, 20):
        write(place, shade)
        visprep.publish(place, url)
    stop.set()
    for training in trainings:
        training.join()
    assert wrong == []
    assert len(seen) > 1
    assert shades(first) == {"0"}
    first.close()


def test_the_names_that_loaders_get_are_addresses(bucket, tmp_path):
    place, url = tmp_path / "place", f"s3://{bucket}/sets/mine"
    write(place, 7)
    visprep.publish(place, url)
    dataset = CocoS3Dataset(f"{url}/annotations/captions_train2017.json", index_dir=tmp_path / "index")
    names = [dataset.get_image_info(number)["file_name"] for number in range(COUNT)]
    assert all(name.startswith(f"{url}/files/train2017/{number}.") for number, name in enumerate(names))
    dataset.close()


@pytest.mark.parametrize("kind", ["triplets", "frames"])
def test_what_is_found_by_listing_is_of_one_version(bucket, tmp_path, kind):
    url = f"s3://{bucket}/sets/mine"
    first, second = tmp_path / "first", tmp_path / "second"

    def dataset():
        if kind == "frames":
            return FrameDataset(f"{url}/", handle_errors="raise", window=2)
        prefixes = [f"{url}/easy/", f"{url}/hard/"]
        return S3VTONDataset(prefixes, handle_errors="raise", difficulty_weights={"easy": 0.5, "hard": 0.5}, total=4)

    def pixels(made):
        samples = [made[number] for number in range(len(made))]
        made.close()
        images = [sample.values() if kind == "triplets" else sample[0] for sample in samples]
        return [image.tobytes() for some in images for image in some if isinstance(image, Image.Image)]

    make = make_triplets if kind == "triplets" else make_episodes
    make(first)
    visprep.publish(first, url)
    opened, expected = dataset(), pixels(dataset())
    assert len(set(expected)) > 3
    for path in sorted(make(second).rglob("*.png")):  # every picture is another one, turned on its head
        with Image.open(path) as image:
            image.rotate(180).save(path)
    visprep.publish(second, url)
    assert pixels(opened) == expected
    assert not set(pixels(dataset())) & set(expected)
