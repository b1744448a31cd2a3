"""CocoS3Dataset as training uses it: the snippet of its guide, workers of every kind, images wherever they are."""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import ConcatDataset, DataLoader, DistributedSampler, Subset, random_split  # noqa: E402

import visprep  # noqa: E402
from image_transforms import torchvision, transforms  # noqa: E402
from loader_places import Photographs, drained, jpeg, number_of  # noqa: E402
from visprep import errors  # noqa: E402
from visprep.loaders import CocoS3Dataset, collate_detection, collate_samples, collate_tensors  # noqa: E402
from visprep.testing.mirror import Mirror  # noqa: E402

METHODS = [method for method in ("fork", "spawn", "forkserver") if method in multiprocessing.get_all_start_methods()]


def to_tensor(image: Any) -> Any:
    return torch.from_numpy(np.array(image.resize((16, 16)))).permute(2, 0, 1).float() / 255


def both(image: Any, target: Any) -> tuple[Any, Any]:
    return to_tensor(image), {**target, "seen": image.size}


def documents(photographs: Photographs) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(photographs.annotations.read_text())
    return found


def dataset_of(photographs: Photographs, **more: Any) -> CocoS3Dataset:
    return CocoS3Dataset(photographs.annotations, **{"settings": photographs.settings, **more})


@pytest.fixture(autouse=True)
def own_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def environment(photographs: Photographs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user has: keys and an endpoint in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", photographs.endpoint)


# -- as its guide says


def test_the_loop_of_the_guide(photographs: Photographs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shuffled loader with workers, None filtered, and pairs of image and annotation in the loop."""
    environment(photographs, monkeypatch)
    photographs.spoil(3)
    photographs.remove(7)
    transform = transforms.Compose(
        [
            transforms.Resize((224, 224)),
            transforms.ToTensor(),
            transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ]
    )
    dataset = CocoS3Dataset(annotation_file=str(photographs.annotations), transform=transform, handle_errors="skip")
    dataloader = DataLoader(dataset, batch_size=8, shuffle=True, num_workers=2, collate_fn=collate_samples)
    seen = []
    for batch in dataloader:
        assert isinstance(batch, list)
        valid_samples = [sample for sample in batch if sample is not None]
        if not valid_samples:
            continue
        for image, annotation in valid_samples:
            assert image.shape == (3, 224, 224)
            assert image.min() < 0  # normalized
            seen.append(annotation["image_info"]["id"])
            assert all(one["image_id"] == seen[-1] for one in annotation["annotations"])
    assert sorted(seen) == [100 + number for number in range(24) if number not in (3, 7)]
    assert {failure.index for failure in dataset.failures} == {3, 7}


@pytest.mark.skipif(not torchvision(), reason="torchvision does not import here, and no extra may bring it")
def test_joint_transforms_of_torchvision_move_boxes_and_masks(photographs: Photographs) -> None:
    from torchvision.transforms import v2

    joint = v2.Compose([v2.RandomHorizontalFlip(p=1), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    image, target = dataset_of(photographs, target_format="tv_tensors", transforms=joint)[5]
    plain, before = dataset_of(photographs, target_format="torchvision")[5]
    width = plain.size[0]
    assert tuple(image.shape) == (3, plain.size[1], width)
    assert target["boxes"].tolist() == [[width - x1, y0, width - x0, y1] for x0, y0, x1, y1 in before["boxes"].tolist()]
    assert torch.equal(torch.Tensor(target["masks"].float()), before["masks"].flip(-1).float())


def test_what_it_tells(photographs: Photographs) -> None:
    document, dataset = documents(photographs), dataset_of(photographs)
    assert len(dataset) == 24
    assert dataset.get_categories() == document["categories"]
    assert dataset.get_image_info(4) == document["images"][4]
    assert dataset.get_image_info(-1) == document["images"][-1]
    assert dataset.image_ids.tolist() == [one["id"] for one in document["images"]]
    for index in (24, -25, 999):
        with pytest.raises(IndexError):
            dataset.get_image_info(index)
        with pytest.raises(IndexError):
            _ = dataset[index]
    image, annotation = dataset[np.int64(5)]
    assert (image.mode, image.size, number_of(image)) == ("RGB", photographs.sizes[5], 5)
    assert annotation == {
        "image_info": document["images"][5],
        "annotations": [one for one in document["annotations"] if one["image_id"] == 105],
    }
    assert number_of(dataset[-1][0]) == 23


def test_a_given_client_is_used(photographs: Photographs) -> None:
    client = photographs.client()
    dataset = CocoS3Dataset(photographs.annotations, s3_client=client)
    assert number_of(dataset[3][0]) == 3
    url = photographs.put("annotations/a.json", photographs.annotations.read_bytes())
    called = []
    client.meta.events.register("before-call.s3.GetObject", lambda **known: called.append(known["params"]["url_path"]))
    own = CocoS3Dataset(url, s3_client=client)  # with an event handler, which only the client itself can call
    assert number_of(own[3][0]) == 3
    assert [path.rpartition("/")[2] for path in called] == ["a.json", "0003.jpg"]


# -- processes


@pytest.mark.parametrize("method", METHODS)
def test_workers_of_every_kind_after_the_parent_has_read(photographs: Photographs, method: str) -> None:
    photographs.spoil(0)
    dataset = dataset_of(photographs, transform=to_tensor, target_format="torchvision", max_failures=5)
    assert dataset[1] is not None
    workers = 1 if method == "spawn" else 2  # each begins with the imports
    loader = DataLoader(
        dataset, batch_size=5, num_workers=workers, multiprocessing_context=method, collate_fn=collate_detection
    )
    ids = [target["image_id"] for _, targets in loader for target in targets]
    assert ids == list(range(101, 124))


@pytest.mark.parametrize("method", METHODS)
def test_an_error_reaches_the_parent_as_it_is(photographs: Photographs, method: str) -> None:
    photographs.remove(2)
    dataset = dataset_of(photographs, handle_errors="raise")
    loader = DataLoader(dataset, num_workers=1, multiprocessing_context=method, collate_fn=collate_samples)
    with pytest.raises(errors.FileMissing, match=r"images/0002\.jpg"):
        drained(loader)


def test_other_datasets_and_samplers_take_it(photographs: Photographs) -> None:
    dataset = dataset_of(photographs, transform=to_tensor)
    train, val = random_split(dataset, [20, 4], torch.Generator().manual_seed(1))
    images, _ = next(iter(DataLoader(train, batch_size=20, collate_fn=collate_tensors)))
    assert images.shape == (20, 3, 16, 16)
    assert len(val) == 4
    twice = ConcatDataset([Subset(dataset, [3, 1]), dataset])
    assert [twice[number][1]["image_info"]["id"] for number in (0, 1, 2)] == [103, 101, 100]
    ranks = [DistributedSampler(dataset, 2, rank, shuffle=False) for rank in (0, 1)]
    loaders = [DataLoader(dataset, 4, sampler=one, collate_fn=collate_samples) for one in ranks]
    ids = [one["image_info"]["id"] for loader in loaders for batch in loader for _, one in batch]
    assert sorted(ids) == list(range(100, 124))


def test_copies_are_as_good(photographs: Photographs) -> None:
    dataset = dataset_of(photographs)
    _ = dataset[0]
    for other in (copy.copy(dataset), copy.deepcopy(dataset), pickle.loads(pickle.dumps(dataset))):
        assert number_of(other[6][0]) == 6
    assert len(pickle.dumps(dataset)) < 10_000


# -- where images and annotations are


def placed(root: Path, where: str, name: str, **more: Any) -> Path:
    """Three images in a directory, and a file that names them relative to it."""
    document = {
        "images": [{"id": 7 + number, "file_name": f"{number}.jpg", "width": 64, "height": 48} for number in range(3)],
        "annotations": [],
        "categories": [],
        **more,
    }
    (root / where).mkdir(parents=True, exist_ok=True)
    for number in range(3):
        (root / where / f"{number}.jpg").write_bytes(jpeg(number))
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def numbers(dataset: CocoS3Dataset) -> list[int]:
    return [number_of(dataset[index][0]) for index in range(len(dataset))]


@pytest.mark.parametrize(
    ("images", "annotations"),
    [
        ("", "a.json"),
        ("train2017", "annotations/instances_train2017.json"),
        ("train", "annotations/instances_train.json"),
        ("images/train", "annotations/train.json"),
        ("images", "labels/a.json"),
        ("", "annotations/a.json"),
        ("train", "train/_annotations.coco.json"),
        ("images", "a.json"),
    ],
)
def test_relative_names_are_found_near_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: str, annotations: str
) -> None:
    path = placed(tmp_path / "place", images, annotations)
    assert numbers(CocoS3Dataset(path)) == [0, 1, 2]
    monkeypatch.chdir(tmp_path / "place")
    dataset = CocoS3Dataset(annotations)
    monkeypatch.chdir(tmp_path)
    assert numbers(dataset) == [0, 1, 2]


def test_the_names_decide_between_directories(tmp_path: Path) -> None:
    path = placed(tmp_path, "train2017", "annotations/instances_train2017.json")
    (tmp_path / "0.jpg").write_bytes(jpeg(9))
    assert numbers(CocoS3Dataset(path)) == [0, 1, 2]
    assert number_of(CocoS3Dataset(path, image_root=tmp_path)[0][0]) == 9


def test_relative_names_that_are_nowhere(tmp_path: Path) -> None:
    path = placed(tmp_path, "elsewhere", "annotations/instances_val2017.json")
    with pytest.raises(errors.FileMissing, match="no image is where its name says") as raised:
        CocoS3Dataset(path)
    assert "image_root=" in str(raised.value.hint)
    assert numbers(CocoS3Dataset(path, image_root=tmp_path / "elsewhere")) == [0, 1, 2]
    with pytest.raises(errors.PlaceMissing, match="is no directory"):
        CocoS3Dataset(path, image_root=tmp_path / "nowhere")
    with pytest.raises(errors.BadPlace, match="gs://"):
        CocoS3Dataset(path, image_root="gs://bucket/x")


def test_absolute_names_web_addresses_and_foreign_schemes(tmp_path: Path) -> None:
    placed(tmp_path / "www", "a b", "x.json")
    with Mirror(tmp_path / "www") as mirror:
        names = [f"{tmp_path}/www/a b/0.jpg", f"{mirror.url}/a%20b/1.jpg"]
        images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
        path = placed(tmp_path, "none", "b.json", images=images)
        dataset = CocoS3Dataset(path)
        assert numbers(dataset) == [0, 1]
        assert numbers(CocoS3Dataset(placed(tmp_path, "c", "c.json"), image_root=f"{mirror.url}/a b/")) == [0, 1, 2]
        assert numbers(CocoS3Dataset(f"{mirror.url}/x.json", image_root=tmp_path / "www/a b")) == [0, 1, 2]
        placed(tmp_path / "www", "coco/train2017", "coco/annotations/instances_train2017.json")
        assert numbers(CocoS3Dataset(f"{mirror.url}/coco/annotations/instances_train2017.json")) == [0, 1, 2]
    path.write_text(json.dumps({"images": [{"id": 1, "file_name": "gs://bucket/x.jpg"}]}))
    with pytest.raises(errors.BadPlace, match=r"b\.json: .*none of 1 .*/images/0 is 'gs://bucket/x\.jpg'"):
        CocoS3Dataset(path)


@pytest.mark.parametrize("position", [3, 50])
@pytest.mark.parametrize("odd", ["gs://bucket/x.jpg", "S3://bucket/x.jpg", "http://[::1", "https://", "x" * 5000])
def test_an_odd_name_is_a_bad_sample_wherever_it_stands(tmp_path: Path, odd: str, position: int) -> None:
    images = [{"id": number, "file_name": "0.jpg"} for number in range(100)]
    images[position]["file_name"] = odd
    dataset = CocoS3Dataset(placed(tmp_path, "", "a.json", images=images))
    assert dataset[position] is None
    assert [failure.index for failure in dataset.failures] == [position]
    assert dataset[position + 1] is not None


def test_a_place_on_s3(photographs: Photographs, tmp_path: Path) -> None:
    path = placed(tmp_path, "train2017", "annotations/instances_train2017.json")
    url = photographs.put("place/annotations/instances_train2017.json", path.read_bytes())
    for number in range(3):
        photographs.put(f"place/train2017/{number}.jpg", jpeg(number))
    assert numbers(CocoS3Dataset(url, settings=photographs.settings)) == [0, 1, 2]
    root = f"s3://{photographs.bucket}/place/train2017"
    assert numbers(CocoS3Dataset(path, image_root=root, settings=photographs.settings)) == [0, 1, 2]
    with pytest.raises(errors.FileMissing, match="no image is where"):
        CocoS3Dataset(photographs.put("x.json", path.read_bytes()), settings=photographs.settings)


def test_annotations_that_are_not_there_on_s3(photographs: Photographs) -> None:
    with pytest.raises(errors.PlaceMissing, match="no bucket 'no-such-bucket'") as raised:
        CocoS3Dataset("s3://no-such-bucket/a/b.json", settings=photographs.settings)
    assert "S3Settings(endpoint_url=...)" in str(raised.value.hint)
    with pytest.raises(errors.FileMissing, match=r"a/b\.json") as missing:
        CocoS3Dataset(f"s3://{photographs.bucket}/a/b.json", settings=photographs.settings)
    assert "check the name" in str(missing.value.hint)
    assert missing.value.__notes__ == [missing.value.hint]


def test_a_copy_of_annotations_that_is_gone(photographs: Photographs, tmp_path: Path) -> None:
    url = photographs.put("annotations/a.json", photographs.annotations.read_bytes())
    pickled = pickle.dumps(CocoS3Dataset(url, settings=photographs.settings, index_dir=tmp_path / "index"))
    shutil.rmtree(tmp_path / "index")
    with pytest.raises(errors.DiskError, match=r"the copy of s3://.* is gone") as raised:
        pickle.loads(pickled)[0]
    assert raised.value.hint == "make the dataset again"


def test_annotations_on_s3_that_change_between_epochs(photographs: Photographs) -> None:
    document = documents(photographs)
    url = photographs.put("annotations/a.json", json.dumps(document).encode())
    dataset = CocoS3Dataset(url, settings=photographs.settings)
    loader = DataLoader(dataset, 8, num_workers=1, multiprocessing_context="spawn", collate_fn=collate_samples)
    first = [one for batch in loader for _, one in batch]
    document["annotations"].clear()
    photographs.put("annotations/a.json", json.dumps(document).encode())
    assert [one for batch in loader for _, one in batch] == first
    assert sum(len(one["annotations"]) for one in first) == 24
    assert CocoS3Dataset(url, settings=photographs.settings)[5][1]["annotations"] == []


def test_annotations_on_disk_that_are_written_over(photographs: Photographs) -> None:
    dataset = dataset_of(photographs)
    _ = dataset[0]
    photographs.annotations.write_text('{"images": [{"id": 1}]}')
    with pytest.raises(errors.ChangedMeanwhile, match="changed since"):
        _ = dataset[1]


def test_a_published_place_is_read_as_the_version_that_counted(photographs: Photographs, tmp_path: Path) -> None:
    from visprep import publish

    place, url = tmp_path / "place", f"s3://{photographs.bucket}/published"
    placed(place, "train2017", "annotations/instances_train2017.json")
    publish(place, url, s3=photographs.settings)
    name = f"{url}/annotations/instances_train2017.json"
    dataset = CocoS3Dataset(name, settings=photographs.settings)
    assert numbers(dataset) == [0, 1, 2]
    (place / "train2017/0.jpg").write_bytes(jpeg(9))
    publish(place, url, s3=photographs.settings)
    assert numbers(dataset) == [0, 1, 2]
    assert numbers(CocoS3Dataset(name, settings=photographs.settings)) == [9, 1, 2]


# -- what is not as it should be


def test_bad_samples(tmp_path: Path) -> None:
    images = [
        {"id": 1, "file_name": "0.jpg", "width": 64, "height": 48},
        {"id": 2},
        {"id": 3, "file_name": "gone.jpg"},
        {"id": 4, "file_name": "1.jpg", "width": 63, "height": 48},
        {"id": 5, "file_name": "2.jpg"},
    ]
    annotations = [{"id": 1, "image_id": 5, "category_id": 1, "bbox": [1]}]
    path = placed(tmp_path, "", "a.json", images=images, annotations=annotations)
    plain = CocoS3Dataset(path)
    assert [plain[index] is None for index in range(5)] == [False, True, True, False, False]
    dataset = CocoS3Dataset(path, target_format="torchvision")
    assert [dataset[index] is None for index in range(5)] == [False, True, True, True, True]
    told = {failure.index: failure.message for failure in dataset.failures}
    assert "image 2 has no file_name" in told[1]
    assert "gone.jpg" in told[2]
    assert "64 x 48 pixels, its record says 63 x 48" in told[3]
    assert "annotation 1 has no box" in told[4]
    for index, words in ((3, "image 4: the image has 64 x 48"), (4, "annotation 1 has no box")):
        assert told[index].startswith(f"{tmp_path}/{index - 2}.jpg: {path}: {words}")
    strict = CocoS3Dataset(path, handle_errors="raise")
    with pytest.raises(errors.WrongContent, match="image 2 has no file_name"):
        _ = strict[1]
    with pytest.raises(errors.FileMissing, match=r"gone\.jpg"):
        _ = strict[2]


def test_what_is_worth_a_warning(tmp_path: Path) -> None:
    stray = [{"id": 1, "image_id": 77, "category_id": 0}, {"id": 2, "image_id": 78, "category_id": 0}]
    path = placed(tmp_path, "", "a.json", annotations=stray, categories=[{"id": 0, "name": "x"}])
    with pytest.warns(UserWarning, match="2 annotations belong to images that are not in it.* 77"):
        dataset = CocoS3Dataset(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(pickle.dumps(dataset))
    with pytest.warns(UserWarning, match="has the id 0"), pytest.warns(UserWarning, match="annotations belong"):
        CocoS3Dataset(path, target_format="torchvision")


def test_no_images_at_all(tmp_path: Path) -> None:
    path = placed(tmp_path, "", "a.json", images=[])
    dataset = CocoS3Dataset(path)
    assert len(dataset) == 0
    assert list(DataLoader(dataset, collate_fn=collate_samples)) == []
    with pytest.raises(IndexError):
        _ = dataset[0]


@pytest.mark.parametrize(
    "more",
    [
        {"transforms": both, "transform": to_tensor},
        {"transforms": both, "target_transform": dict},
        {"target_format": "coco"},
        {"target_format": "torchvision", "exif": "rotate"},
        {"target_format": "torchvision", "shrink_to": (8, 8)},
        {"handle_errors": "ignore"},
        {"annotation_file": None},
        {"annotation_file": {"images": []}},
    ],
)
def test_arguments_that_contradict_each_other(tmp_path: Path, more: dict[str, Any]) -> None:
    path = placed(tmp_path, "", "a.json")
    with pytest.raises(errors.UsageError):
        CocoS3Dataset(**{"annotation_file": path, **more})


def test_transforms(tmp_path: Path) -> None:
    path = placed(tmp_path, "", "a.json")
    image, target = CocoS3Dataset(path, transforms=both)[1]
    assert (tuple(image.shape), target["seen"], target["image_info"]["id"]) == ((3, 16, 16), (64, 48), 8)
    image, target = CocoS3Dataset(path, to_tensor, target_transform=len)[1]
    assert (tuple(image.shape), target) == ((3, 16, 16), 2)
    with pytest.raises(ZeroDivisionError):  # what a transform raises is no bad sample
        _ = CocoS3Dataset(path, lambda image: 1 / 0)[0]


# -- without what it needs


def test_without_torch_it_says_what_to_install() -> None:
    code = """
import sys
sys.modules["torch"] = None
import visprep, visprep.loaders
for module in (visprep, visprep.loaders):
    try:
        module.CocoS3Dataset
    except visprep.VisprepError as error:
        print(error.slug, error.hint)
assert not any(name.startswith("torch.") for name in sys.modules)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "missing-extra pip install 'visprep[torch]'\n" * 2


def test_without_torch_the_demo_says_what_to_install() -> None:
    code = "import sys; sys.modules['torch'] = None; from visprep._demo import trained; print(trained('x.json'))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "left out, since PyTorch is not installed: pip install 'visprep[torch]'\n"


def test_without_torchvision_its_tensors_are_refused(tmp_path: Path) -> None:
    path = placed(tmp_path, "", "a.json")
    code = f"""
import sys
sys.modules["torchvision"] = None
from visprep.loaders import CocoS3Dataset
CocoS3Dataset({str(path)!r}, target_format="tv_tensors")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "UsageError: target_format='tv_tensors' needs torchvision" in ended.stderr


def test_the_names_are_public() -> None:
    assert visprep.CocoS3Dataset is CocoS3Dataset
    assert os.fspath(Path(visprep.loaders.__file__).parent).endswith("loaders")
