"""Datasets of triplets: found on disk and on S3, mixed, and read by worker processes."""

from __future__ import annotations

import pickle
import random
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from image_transforms import Compose, FlipTogether, Resize, ToTensor, torchvision
from loader_places import client
from s3_door import Door, Seen, action, error
from told_pictures import Told, pictures, seed_place, settings, told_by
from visprep import errors
from visprep.loaders.vton import (
    S3VTONDataset,
    S3VTONDatasetEasy,
    S3VTONDatasetHard,
    S3VTONDatasetMedium,
    get_vton_dataset,
)
from visprep.loaders.warned import DatasetWarning

torch = pytest.importorskip("torch", reason="torch is in the torch extra")
from torch.utils.data import (  # noqa: E402
    ConcatDataset,
    DataLoader,
    DistributedSampler,
    Subset,
    random_split,
)

FULL = {f"{difficulty}/{who}": 4 for difficulty in ("easy", "medium", "hard") for who in ("female", "male")}


@pytest.fixture
def told() -> Told:
    return seed_place(FULL)


@pytest.fixture
def place(told: Told, tmp_path: Path) -> Path:
    return told.on_disk(tmp_path / "dataset_ultimate")


def ids(dataset: S3VTONDataset) -> list[tuple[str, str]]:
    """Of each sample, the directory and the stem, by where the image of the person lies."""
    urls = [dataset.files_of(number)[0].url for number in range(len(dataset))]
    return [(url.rsplit("/", 2)[0].split("dataset_ultimate/")[-1], url.rpartition("/")[2][:3]) for url in urls]


# -- What a sample is


def test_a_sample_has_three_pictures_of_one_triplet(told: Told, place: Path) -> None:
    dataset = S3VTONDataset([place])
    assert len(dataset) == 24 == len(set(ids(dataset)))
    assert dataset.counts == dataset.available == {"easy": 8, "medium": 8, "hard": 8}
    for index, (directory, stem) in enumerate(ids(dataset)):
        sample = dataset[index]
        assert list(sample) == ["initial_image", "cloth_image", "try_on_image", "difficulty", "stem"]
        assert (sample["difficulty"], sample["stem"]) == (directory.partition("/")[0], stem)
        for name, path in zip(list(sample)[:3], pictures(directory, stem), strict=True):
            assert (sample[name].mode, sample[name].size) == ("RGB", (12, 16))
            assert told_by(sample[name]) == told.numbers[path]


def test_the_default_collate_takes_what_has_one_shape(place: Path) -> None:
    dataset = S3VTONDataset(place, Compose([Resize((32, 24)), ToTensor()]))
    batch = next(iter(DataLoader(dataset, batch_size=5)))
    for name in ("initial_image", "cloth_image", "try_on_image"):
        assert (batch[name].shape, batch[name].dtype) == ((5, 3, 32, 24), torch.float32)
    assert batch["stem"] == [stem for _, stem in ids(dataset)[:5]]
    assert set(batch["difficulty"]) <= {"easy", "medium", "hard"}


def test_transforms_see_the_three_together_then_each_alone(told: Told, place: Path) -> None:
    seen: list[tuple[int, ...]] = []

    def joint(*images: Image.Image) -> tuple[Image.Image, ...]:
        seen.append(tuple(told_by(image) for image in images))
        return images

    dataset = S3VTONDataset(place, lambda image: f"one of {image.size}", joint_transform=joint)
    (directory, stem), sample = ids(dataset)[7], dataset[7]
    assert seen == [tuple(told.numbers[path] for path in pictures(directory, stem))]
    assert sample["cloth_image"] == "one of (12, 16)"


def test_random_flips_agree(tmp_path: Path) -> None:
    place = halves(tmp_path)
    random.seed(0)
    dataset = S3VTONDataset(place, np.asarray, joint_transform=FlipTogether())
    left = [tuple(dataset[0][name][0, 0, 0] for name in list(dataset[0])[:1]) for _ in range(20)]
    assert len(set(left)) == 2  # some are flipped, some are not
    for _ in range(20):
        sample = dataset[0]
        assert len({sample[name][0, 0, 0] for name in ("initial_image", "cloth_image", "try_on_image")}) == 1


def halves(root: Path) -> Path:
    """One triplet whose pictures are black on the left and white on the right."""
    pixels = np.zeros((16, 12, 3), np.uint8)
    pixels[:, 6:] = 255
    for path in pictures("easy/female", "001"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / path)
    return root


def test_the_transforms_of_torchvision_flip_and_crop_all_three_alike(tmp_path: Path) -> None:
    package = torchvision()
    if package is None:
        pytest.skip("torchvision does not import")
    v2 = package.transforms.v2
    joint = v2.Compose([v2.RandomCrop(10), v2.RandomHorizontalFlip(0.5)])
    transform = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    torch.manual_seed(0)
    dataset = S3VTONDataset(halves(tmp_path), transform, joint_transform=joint)
    samples = [dataset[0] for _ in range(30)]
    for sample in samples:
        assert sample["initial_image"].shape == (3, 10, 10)
        assert torch.equal(sample["initial_image"], sample["cloth_image"])
        assert torch.equal(sample["initial_image"], sample["try_on_image"])
    assert len({sample["initial_image"].numpy().tobytes() for sample in samples}) > 2


@pytest.mark.parametrize("wrong", [lambda *images: images[:2], lambda *images: images[0]])
def test_a_joint_transform_gives_back_three(place: Path, wrong: Any) -> None:
    with pytest.raises(TypeError, match="joint_transform was given 3 images and gave back"):
        S3VTONDataset(place, joint_transform=wrong)[0]


def test_what_a_transform_raises_comes_out_as_it_is(place: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        S3VTONDataset(place, lambda image: 1 // 0, handle_errors="skip")[0]


def test_it_counts_from_both_ends(place: Path) -> None:
    dataset = S3VTONDataset(place)
    assert dataset[-1]["stem"] == dataset[23]["stem"] == dataset[np.int64(23)]["stem"]
    assert ids(dataset)[-1][1] == dataset[-1]["stem"]
    for index in (24, -25):
        with pytest.raises(IndexError):
            dataset[index]


# -- What is found


def test_each_directory_numbers_its_own(tmp_path: Path) -> None:
    told = seed_place({"easy/female": 1, "easy/male": 1, "deep/er/hard/x/male": 1})
    dataset = S3VTONDataset(told.on_disk(tmp_path))
    assert dataset.available == {"easy": 2, "medium": 0, "hard": 1}
    assert {sample["stem"] for sample in dataset} == {"001"}
    assert len({told_by(sample["cloth_image"]) for sample in dataset}) == 3


def test_where_the_path_says_nothing_triplets_are_easy(tmp_path: Path) -> None:
    place = seed_place({"female": 2}).on_disk(tmp_path / "pairs")
    assert S3VTONDatasetEasy(place).available == {"easy": 2, "medium": 0, "hard": 0}


def test_the_path_of_the_prefix_says_it_too(place: Path) -> None:
    dataset = S3VTONDatasetMedium([place / "easy", place / "medium" / "female"], total=4)
    assert dataset.available == {"easy": 8, "medium": 4, "hard": 0}


def test_prefixes_that_overlap_give_each_triplet_once(place: Path) -> None:
    dataset = S3VTONDataset([place / "easy", place / "easy" / "female", place, place / "easy"])
    places = {file.url for number in range(len(dataset)) for file in dataset.files_of(number)}
    assert (len(dataset), len(places)) == (24, 72)


def test_incomplete_triplets_are_left_out_and_the_missing_file_is_named(place: Path) -> None:
    (place / "easy/female/cloth_image/002_cloth_dress.png").unlink()
    (place / "easy/male/initial_image/001_person.png").rename(place / "easy/male/initial_image/001_Person.PNG")
    with pytest.warns(DatasetWarning) as warned:
        dataset = S3VTONDataset(place)
    (told,) = warned
    female, male = str(told.message).splitlines()
    assert female == f"Incomplete triplet for stem '002': {place}/easy/female/cloth_image/002_cloth_*.png is not there"
    assert male == (
        f"Incomplete triplet for stem '001': {place}/easy/male/initial_image/001_person.png is not there; "
        "001_Person.PNG may be meant for it"
    )
    assert told.filename == __file__
    assert dataset.available["easy"] == 6
    assert len(dataset) == 22


def test_a_warning_names_twenty_and_counts_the_rest(tmp_path: Path) -> None:
    told = seed_place({"easy": 30})
    for path in list(told.files)[2 : 3 * 25 : 3]:
        del told.files[path]
    with pytest.warns(DatasetWarning) as warned:
        S3VTONDataset(told.on_disk(tmp_path))
    lines = str(warned[0].message).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "and 5 more incomplete triplets: `visprep verify` of the place names all"


def test_of_several_cloths_the_last_is_taken(tmp_path: Path) -> None:
    told = seed_place({"easy": 1})
    for kind in ("shirt", "coat"):
        told.add(pictures("easy", "001", kind)[1])
    with pytest.warns(DatasetWarning, match=r"001_cloth_coat.png, 001_cloth_dress.png, 001_cloth_shirt.png the last"):
        dataset = S3VTONDataset(told.on_disk(tmp_path))
    assert told_by(dataset[0]["cloth_image"]) == told.numbers["easy/cloth_image/001_cloth_shirt.png"]


def test_a_prefix_with_nothing_below_is_warned_of_unless_there_is_no_other(place: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.warns(DatasetWarning, match="There is nothing under .*/nowhere/"):
        assert len(S3VTONDataset([place, tmp_path / "nowhere"])) == 24
    with pytest.raises(errors.PlaceMissing, match="nowhere"):
        S3VTONDataset([tmp_path / "nowhere", tmp_path / "neither"])
    with pytest.raises(errors.UnknownContent, match="no complete triplet"):
        S3VTONDataset([tmp_path / "empty"])


# -- What is drawn


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (S3VTONDatasetEasy, {"easy": 24, "medium": 0, "hard": 0}),
        (S3VTONDatasetMedium, {"easy": 7, "medium": 17, "hard": 0}),  # 7.2 and 16.8
        (S3VTONDatasetHard, {"easy": 6, "medium": 6, "hard": 12}),
    ],
)
def test_the_total_is_that_of_all_prefixes(kind: Any, expected: dict[str, int], place: Path) -> None:
    with pytest.warns(DatasetWarning, match="Target count exceeds available samples"):
        dataset = kind([place / one for one in ("easy", "medium", "hard")])
    assert dataset.counts == expected
    assert Counter(sample["difficulty"] for sample in dataset) == Counter(expected)
    same = get_vton_dataset(kind._name, [place], total=8)
    assert type(same) is kind
    assert len(same) == 8


def test_what_is_drawn_depends_on_names_and_seed(place: Path, tmp_path: Path) -> None:
    one = S3VTONDatasetHard([place], total=12, seed=4)
    other = S3VTONDatasetHard([place / "hard", place / "easy", place / "medium"], total=12, seed=4)
    moved = S3VTONDatasetHard([place.rename(tmp_path / "elsewhere")], total=12, seed=4)
    stems = [[(file.url.rsplit("/", 4)[1:]) for file in each.files_of(3)] for each in (one, other, moved)]
    assert ids(one) == ids(other)
    assert stems[0] == stems[1] == stems[2]
    assert ids(S3VTONDatasetHard([tmp_path / "elsewhere"], total=12, seed=5)) != ids(moved)


def test_custom_weights(place: Path) -> None:
    dataset = S3VTONDataset([place], difficulty_weights={"easy": 0.10, "medium": 0.40, "hard": 0.50}, total=10)
    assert dataset.counts == {"easy": 1, "medium": 4, "hard": 5}
    assert dataset.difficulty_weights == {"easy": 0.1, "medium": 0.4, "hard": 0.5}


def test_no_samples_of_a_difficulty_says_where_was_looked(place: Path) -> None:
    with pytest.raises(errors.UnknownContent, match=r"^No samples available for difficulty 'hard'") as refused:
        S3VTONDatasetHard([place / "easy", place / "medium"])
    hint = str(refused.value.hint)
    assert f"looked under {place}/easy, {place}/medium" in hint
    assert "triplets found: 8 easy, 8 medium" in hint
    assert "/hard/" in hint


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"difficulty_weights": {"easy": 0.5}}, "sum to 0.5"),
        ({"difficulty_weights": {"eazy": 1.0}}, "'eazy' is no difficulty"),
        ({"total": 0}, "total=0"),
        ({"s3_prefixes": []}, "no prefix"),
        ({"s3_prefixes": [""]}, "no prefix"),
        ({"s3_prefixes": [3]}, "no prefix"),
        ({"s3_prefixes": ["no/such/directory/"]}, "no bucket is named, and there is no such directory"),
        ({"s3_prefixes": ["prefix/"], "s3_bucket": "s3://bucket"}, "no name of a bucket"),
        ({"s3_prefixes": ["./images.zip"]}, "is an archive"),
        ({"s3_prefixes": ["https://host/prefix/"], "s3_bucket": None}, "no bucket is named"),
        ({"handle_errors": "ignore"}, "handle_errors"),
    ],
)
def test_requests_that_make_no_sense(keywords: dict[str, Any], words: str, place: Path) -> None:
    with pytest.raises(errors.UsageError, match=words) as refused:
        S3VTONDataset(**{"s3_prefixes": [place], **keywords})
    assert refused.value.hint


def test_an_unknown_difficulty(place: Path) -> None:
    with pytest.raises(ValueError, match="'extreme' is no difficulty"):
        get_vton_dataset("extreme", [place])


# -- Bad images


def test_a_bad_picture_makes_a_bad_sample(place: Path) -> None:
    (place / "easy/male/try_on_image/003_vton.png").write_bytes(b"\x89PNG no more")
    (place / "hard/male/cloth_image/001_cloth_dress.png").write_bytes(b"")
    dataset = S3VTONDataset(place)
    bad = [ids(dataset).index(one) for one in (("easy/male", "003"), ("hard/male", "001"))]
    assert [index for index, sample in enumerate(dataset) if sample is None] == sorted(bad)
    assert {failure.index for failure in dataset.failures} == set(bad)
    assert {failure.url.rpartition("/")[2] for failure in dataset.failures} == {"003_vton.png", "001_cloth_dress.png"}
    with pytest.raises(errors.VisprepError, match="003_vton"):
        S3VTONDataset(place, handle_errors="raise")[bad[0]]
    replaced = S3VTONDataset(place, handle_errors="replace")
    assert replaced[bad[0]]["stem"] == S3VTONDataset(place, handle_errors="replace")[bad[0]]["stem"]


# -- S3


@pytest.fixture
def bucket(told: Told, s3_process: str) -> str:
    return told.in_bucket(s3_process, "dataset_ultimate/")


def test_prefixes_on_s3_with_and_without_a_bucket(
    told: Told,
    bucket: str,
    s3_process: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keywords: dict[str, Any] = {"settings": settings(s3_process)}
    whole = S3VTONDataset([f"s3://{bucket}/dataset_ultimate/"], **keywords)
    assert len(whole) == 24
    assert S3VTONDataset(["dataset_ultimate/"], None, bucket, **keywords).counts == whole.counts
    assert ids(S3VTONDataset(["s3:///dataset_ultimate"], s3_bucket=bucket, **keywords)) == ids(whole)
    monkeypatch.setenv("S3_BUCKET_NAME", bucket)
    dataset = get_vton_dataset("medium", ["dataset_ultimate/easy/", "dataset_ultimate/medium/"], total=10, **keywords)
    assert dataset.counts == {"easy": 3, "medium": 7, "hard": 0}
    for index, (directory, stem) in enumerate(ids(dataset)):
        assert told_by(dataset[index]["try_on_image"]) == told.numbers[pictures(directory, stem)[2]]


def test_the_same_samples_from_disk_and_from_s3(bucket: str, place: Path, s3_process: str) -> None:
    here = S3VTONDatasetHard([place], total=10, seed=2)
    there = S3VTONDatasetHard([f"s3://{bucket}/dataset_ultimate"], total=10, seed=2, settings=settings(s3_process))
    assert ids(here) == ids(there)


def test_a_client_lists_and_reads(bucket: str, s3_process: str) -> None:
    class Counting:
        """A client that is called itself, since nobody can tell what it does."""

        def __init__(self) -> None:
            self.called: Counter[str] = Counter()
            self._client = client(s3_process)

        def list_objects_v2(self, **asked: Any) -> Any:
            self.called["list"] += 1
            return self._client.list_objects_v2(**asked, MaxKeys=20)

        def get_object(self, **asked: Any) -> Any:
            self.called["get"] += 1
            return self._client.get_object(**asked)

    stub = Counting()
    dataset = S3VTONDataset([f"s3://{bucket}/dataset_ultimate"], s3_client=stub)
    assert dataset[0]["stem"]
    assert stub.called == {"list": 4, "get": 3}  # 72 keys, 20 at once
    assert len(S3VTONDataset([f"s3://{bucket}/dataset_ultimate"], s3_client=client(s3_process))) == 24


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_workers_read_after_their_parent_did(bucket: str, s3_process: str, context: str) -> None:
    dataset = S3VTONDatasetHard(
        [f"s3://{bucket}/dataset_ultimate"],
        Compose([Resize((8, 8)), ToTensor()]),
        total=12,
        settings=settings(s3_process),
    )
    first = dataset[0]["initial_image"]
    workers = 1 if context == "spawn" else 2  # each begins with the imports
    loader = DataLoader(dataset, 4, num_workers=workers, multiprocessing_context=context)
    batches = list(loader)
    assert torch.equal(batches[0]["initial_image"][0], first)
    assert [stem for batch in batches for stem in batch["stem"]] == [stem for _, stem in ids(dataset)]


def test_the_tools_of_pytorch_take_it(place: Path) -> None:
    dataset = S3VTONDataset(place)
    assert Subset(dataset, [5, 3])[1]["stem"] == dataset[3]["stem"]
    assert ConcatDataset([dataset, dataset])[30]["stem"] == dataset[6]["stem"]
    parts = random_split(dataset, [20, 4])
    assert [len(part) for part in parts] == [20, 4]
    numbers = [number for rank in (0, 1) for number in DistributedSampler(dataset, 2, rank)]
    assert sorted(numbers) == list(range(24))
    again = pickle.loads(pickle.dumps(dataset))
    assert ids(again) == ids(dataset)
    assert again[4]["stem"] == dataset[4]["stem"]


def test_no_bucket_and_no_permission_are_said(s3_process: str, bucket: str) -> None:
    with pytest.raises(errors.PlaceMissing, match="there is no bucket"):
        S3VTONDataset([f"s3://none-{uuid.uuid4().hex[:8]}/x"], settings=settings(s3_process))
    with pytest.raises(errors.PlaceMissing, match="there is nothing under"):
        S3VTONDataset([f"s3://{bucket}/dataset_ultimat"], settings=settings(s3_process))


def refusing_to_list(seen: Seen) -> Any:
    return error(403, "AccessDenied") if action(seen) == "s3:ListBucket" else None


def test_a_manifest_stands_for_a_listing(
    told: Told,
    tmp_path: Path,
    s3_process: str,
    bucket: str,
) -> None:
    from visprep import upload

    place = told.on_disk(tmp_path / "dataset_ultimate")
    upload(place, f"s3://{bucket}/copied", s3=settings(s3_process))
    expected = ids(S3VTONDataset([place], seed=1))
    with Door(s3_process, refusing_to_list) as door:
        s3 = settings(door.url)
        # Where listing is not allowed; where it is not wanted; and below the place that has the manifest
        denied = S3VTONDataset([f"s3://{bucket}/copied"], seed=1, settings=s3)
        wanted = S3VTONDataset([f"s3://{bucket}/copied"], seed=1, settings=s3, from_manifest=True)
        below = S3VTONDataset([f"s3://{bucket}/copied/hard/male/"], settings=s3, from_manifest=True)
        short = [(one[0].removeprefix(f"s3://{bucket}/copied/"), one[1]) for one in ids(denied)]
        assert short == expected == [(d.removeprefix(f"s3://{bucket}/copied/"), s) for d, s in ids(wanted)]
        assert below.available == {"easy": 0, "medium": 0, "hard": 4}
        assert below[0]["difficulty"] == "hard"
        assert str(wanted.files_of(0)[0].version).startswith("sha256:")
        with pytest.raises(errors.AccessDenied):
            S3VTONDataset([f"s3://{bucket}/dataset_ultimate"], settings=s3)
        with pytest.raises(errors.FileMissing, match="no manifest"):
            S3VTONDataset([f"s3://{bucket}/dataset_ultimate"], settings=s3, from_manifest=True)
