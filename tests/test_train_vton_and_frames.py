"""What the guides show of triplets and frames, as somebody would type it, and from a published place."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_transforms import transforms
from told_pictures import Told, pictures, seed_place, settings, told_by
from visprep import publish

torch = pytest.importorskip("torch", reason="torch is in the torch extra")
from torch.utils.data import DataLoader  # noqa: E402

from visprep.loaders import (  # noqa: E402
    FrameDataset,
    S3VTONDataset,
    S3VTONDatasetEasy,
    S3VTONDatasetHard,
    S3VTONDatasetMedium,
    get_vton_dataset,
)

DIRECTORIES = {f"{difficulty}/{who}": 3 for difficulty in ("easy", "medium", "hard") for who in ("female", "male")}
PREFIXES = [f"dataset_ultimate/{directory}/" for directory in DIRECTORIES]


@pytest.fixture
def bucket(s3_process: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket with both, known by the environment alone."""
    name = seed_place(DIRECTORIES).in_bucket(s3_process, "dataset_ultimate/")
    for variable, value in {
        "S3_BUCKET_NAME": name,
        "S3_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_ENDPOINT_URL": s3_process,
    }.items():
        monkeypatch.setenv(variable, value)
    return name


@pytest.mark.filterwarnings("ignore::visprep.loaders.warned.DatasetWarning")  # more easy ones are wanted than there are
def test_triplets_of_each_difficulty_in_batches(bucket: str) -> None:
    transform = transforms.Compose(
        [transforms.Resize((64, 48)), transforms.ToTensor(), transforms.Normalize([0.5], [0.5])]
    )
    easy = get_vton_dataset(difficulty="easy", s3_prefixes=PREFIXES, transform=transform)
    medium = get_vton_dataset(difficulty="medium", s3_prefixes=PREFIXES[::2], transform=transform)
    hard = get_vton_dataset(difficulty="hard", s3_prefixes=PREFIXES[::2], transform=transform)
    assert (easy.counts, len(easy)) == ({"easy": 18, "medium": 0, "hard": 0}, 18)
    assert medium.counts == {"easy": 3, "medium": 6, "hard": 0}  # 2.7 and 6.3
    assert hard.counts == {"easy": 2, "medium": 2, "hard": 5}  # 2.25, 2.25 and 4.5
    for kind, prefixes in (
        (S3VTONDatasetEasy, ["dataset_ultimate/easy/", "dataset_ultimate/medium/"]),
        (S3VTONDatasetMedium, ["dataset_ultimate/easy/", "dataset_ultimate/medium/"]),
        (S3VTONDatasetHard, ["dataset_ultimate/easy/", "dataset_ultimate/medium/", "dataset_ultimate/hard/"]),
    ):
        assert len(kind(s3_prefixes=prefixes, transform=transform)) == 6 * len(prefixes)
    custom = S3VTONDataset(
        s3_prefixes=["dataset_ultimate/easy/", "dataset_ultimate/medium/", "dataset_ultimate/hard/"],
        transform=transform,
        difficulty_weights={"easy": 0.10, "medium": 0.40, "hard": 0.50},
    )
    assert custom.counts == {"easy": 2, "medium": 7, "hard": 9}  # 1.8, 7.2 and 9
    seen = 0
    for batch in DataLoader(medium, batch_size=4, shuffle=True, num_workers=2):
        for name in ("initial_image", "cloth_image", "try_on_image"):
            assert batch[name].shape[1:] == (3, 64, 48)
            assert batch[name].dtype == torch.float32
        assert len(batch["difficulty"]) == len(batch["stem"]) == len(batch["initial_image"])
        seen += len(batch["stem"])
    assert seen == 9


def test_frames_with_a_bounded_cache(bucket: str, s3_process: str, tmp_path: Path) -> None:
    told = Told()
    told.episode("game1/episode1", range(1, 7))
    told.episode("game2/episode1", range(1, 4))
    told.in_bucket(s3_process, "pokemon_frames/", bucket)
    dataset = FrameDataset(
        "pokemon_frames",
        s3_bucket=bucket,
        transform=transforms.ToTensor(),
        local_cache_dir=tmp_path / "pokemon_cache",
        max_cache_size=1000,
    )
    for _ in range(2):
        frames = sum(len(images) for images, _ in DataLoader(dataset, batch_size=4, shuffle=True))
        assert frames == 9
    assert dataset.cache is not None
    stats = dataset.cache.stats()
    assert (stats.misses, stats.hits) == (9, 9)
    dataset.close()


def test_a_published_place_is_read_by_its_version(
    bucket: str,
    s3_process: str,
    tmp_path: Path,
) -> None:
    told = seed_place(DIRECTORIES)
    place = told.on_disk(tmp_path / "vton")
    target = f"s3://{bucket}/published"
    publish(place, target, s3=settings(s3_process))
    dataset = S3VTONDataset([f"{target}/easy/female/", f"{target}/hard"])
    assert dataset.available == {"easy": 3, "medium": 0, "hard": 6}
    assert S3VTONDataset([target], from_manifest=True).available == {"easy": 6, "medium": 6, "hard": 6}
    before = {sample["stem"]: told_by(sample["cloth_image"]) for sample in dataset if sample["difficulty"] == "easy"}
    assert before == {stem: told.numbers[pictures("easy/female", stem)[1]] for stem in ("001", "002", "003")}
    # The next version has another cloth: whoever began with this one goes on with it
    changed = place / pictures("easy/female", "001")[1]
    changed.write_bytes((place / pictures("easy/female", "002")[1]).read_bytes())
    publish(place, target, s3=settings(s3_process))
    old = {sample["stem"]: told_by(sample["cloth_image"]) for sample in dataset if sample["difficulty"] == "easy"}
    new = {sample["stem"]: told_by(sample["cloth_image"]) for sample in S3VTONDataset([f"{target}/easy/female"])}
    assert old == before
    assert new == {**before, "001": before["002"]}
