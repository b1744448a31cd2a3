"""The source `hf:` against a hub on loopback, with datasets that the `datasets` library itself wrote."""

from __future__ import annotations

import base64
import datetime
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCardData

from conftest import tree
from visprep import sources
from visprep.errors import SourceError, SourceMissing, UnknownName, UsageError
from visprep.formats.tasks import segment
from visprep.records import Skipped, Task
from visprep.sources import Selection, Shard, TableSchema, Upstream
from visprep.sources.hf import HubDataset
from visprep.testing import LocalHub
from visprep.testing.contracts import SourceContract
from vtb_upstream import REPOSITORY, PlainAccess, noise, png, upstream_files

NAME = "org/puzzles"
SOURCE = HubDataset(NAME)
MAP = {"first_frame": "image", "final_frame": "solution_image", "prompt": "prompt"}
AVI, MP4 = b"RIFF\x10\0\0\0AVI LIST", b"\0\0\0\x18ftypisom\0\0\2\0"

Publish = Callable[..., str]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch):
    with LocalHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def publish(hub: LocalHub) -> Publish:
    """Put files into the repository; the commit."""

    def published(files: Mapping[str, bytes], name: str = NAME, **options: Any) -> str:
        return (hub.repositories.get(name) or hub.add(name)).commit(files, **options)

    return published


def picture(seed: object) -> dict[str, Any]:
    return {"bytes": png(seed), "path": None}


def rows(count: int, tag: object = "", **changed: Any) -> list[dict[str, Any]]:
    """Rows with the columns of the issue's own example; `changed` replaces a cell of every row, None drops it."""
    made = []
    for number in range(count):
        row = {
            "image": picture((tag, number, "first")),
            "solution_image": picture((tag, number, "final")),
            "prompt": f"Solve {tag} {number}.",
        }
        made.append({key: cell for key, cell in (row | changed).items() if cell is not None})
    return made


def table(made: list[dict[str, Any]], **features: Any) -> bytes:
    """Rows as the library writes them; a column whose cells are dictionaries of bytes is one of images."""
    kinds = {
        key: datasets.Image() if isinstance(cell, dict) and "bytes" in cell else None for key, cell in made[0].items()
    }
    dataset = datasets.Dataset.from_list(made)
    for key, kind in (kinds | features).items():
        dataset = dataset.cast_column(key, kind) if kind else dataset
    out = io.BytesIO()
    dataset.to_parquet(out)
    return out.getvalue()


def card(configs: dict[str, dict[str, Any]], **facts: Any) -> bytes:
    """README.md as the library writes it."""
    data = DatasetCardData(**facts)
    MetadataConfigs(configs).to_dataset_card_data(data)
    return f"---\n{data}\n---\n# A dataset\n".encode()


def read(selection: Selection, folder: Path, source: HubDataset = SOURCE) -> list[Task | Skipped]:
    upstream = source.resolve(selection)
    access = PlainAccess(upstream, folder)
    return [record for split in upstream.splits for record in source.records(upstream, split, selection, access)]


def tasks_of(records: list[Task | Skipped]) -> list[Task]:
    assert [record for record in records if isinstance(record, Skipped)] == []
    return [record for record in records if isinstance(record, Task)]


class TestContract(SourceContract):
    name = f"hf:{NAME}"
    selection = Selection(columns=MAP | {"metadata.kind": "kind"})

    @pytest.fixture
    def upstream(self, hub: LocalHub, publish: Publish) -> LocalHub:
        kinds = {"kind": "easy"}
        publish(
            {
                "README.md": b"---\nlicense: mit\n---\n",
                "data/train-00000-of-00002.parquet": table(rows(3, "a", **kinds)),
                "data/train-00001-of-00002.parquet": table(rows(2, "b", **kinds)),
                "data/test-00000-of-00001.parquet": table(rows(3, "c", **kinds)),
            }
        )
        return hub


class TestRoad:
    """Through the command line."""

    def test_the_command_of_the_issue(self, run, publish: Publish, tmp_path: Path) -> None:
        made = rows(4, category="puzzle")
        commit = publish({"README.md": b"---\nlicense: [mit, cc0-1.0]\n---\n", "train.parquet": table(made)})
        said = ",".join(f"{field}={column}" for field, column in MAP.items())
        ended = run("download", f"hf:{NAME}", "--map", said, "--output", tmp_path / "place")
        assert ended.code == 0
        place = tmp_path / "place"
        home = place / "puzzles_task" / "train_row00002"
        assert (home / "prompt.txt").read_text() == "Solve  2.\n"
        assert (home / "first_frame.png").read_bytes() == made[2]["image"]["bytes"]
        assert (home / "final_frame.png").read_bytes() == made[2]["solution_image"]["bytes"]
        assert json.loads((home / "metadata.json").read_text()) == {
            "source": f"hf:{NAME}",
            "revision": commit,
            "split": "train",
            "config": "default",
            "row": 2,
        }
        (step,) = json.loads((place / "dataset.json").read_text())["steps"]
        assert (step["source"], step["revision"], step["license"]) == (f"hf:{NAME}", commit, "mit, cc0-1.0")
        assert (step["splits"], step["options"]["map"]) == (["train"], MAP)
        assert run("verify", place, "--depth", "content").code == 0

    def test_what_is_taken_without_a_map_is_said_and_is_the_same(
        self, run, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        publish({"train.parquet": table(rows(2))})
        said = ",".join(f"{field}={column}" for field, column in MAP.items())
        run("download", f"hf:{NAME}", "--map", said, "--output", tmp_path / "asked")
        guessed = run("download", f"hf:{NAME}", "--output", tmp_path / "guessed")
        assert f"columns taken: {said.replace(',', ', ')}" in guessed.err
        as_json = json.loads(run("download", f"hf:{NAME}", "--output", tmp_path / "guessed", "--json").out)
        assert (as_json["columns"], as_json["files"]) == (MAP, 0)
        paths = [path for path in tree(tmp_path / "asked") if path != "dataset.json"]
        assert [tree(tmp_path / "asked")[path] for path in paths] == [
            tree(tmp_path / "guessed")[path] for path in paths
        ]

    def test_a_ground_truth_in_words_is_no_video(self, run, publish: Publish, tmp_path: Path) -> None:
        publish({"train.parquet": table(rows(2, ground_truth="The answer is 7."))})
        ended = run("download", f"hf:{NAME}", "--output", tmp_path / "place")
        assert (ended.code, "ground_truth=" in ended.err) == (0, False), ended.err
        asked = run("download", f"hf:{NAME}", "--map", "ground_truth=ground_truth", "--output", tmp_path / "asked")
        assert (asked.code, "the ground truth is text, and not base64" in asked.err) == (3, True)

    def test_a_video_that_is_not_wanted(self, run, publish: Publish, tmp_path: Path) -> None:
        publish({"train.parquet": table(rows(1, ground_truth=AVI))})
        for words, videos in (((), 1), (("--map", "ground_truth="), 0)):
            place = tmp_path / f"place{videos}"
            assert run("download", f"hf:{NAME}", *words, "--output", place).code == 0
            assert len(list(place.glob("*_task/*/ground_truth.avi"))) == videos
        (step,) = json.loads((place / "dataset.json").read_text())["steps"]
        assert step["options"]["map"] == MAP | {"ground_truth": ""}
        again = run("download", f"hf:{NAME}", "--map", "ground_truth=", "--output", place, "--json")
        assert json.loads(again.out)["files"] == 0

    @pytest.mark.parametrize(
        ("argv", "slug", "words"),
        [
            (("--map", "first_frame=prompt"), "usage", "cannot be the first frame too"),
            (("--map", "first_frame"), "usage", "'first_frame', where FIELD=COLUMN should be"),
            (("--map", "prompt=a,prompt=b"), "usage", "names prompt twice"),
            (("--map", "prompt="), "usage", "no column is named for prompt"),
            (("--map", "promt=prompt"), "unknown-name", "did you mean prompt?"),
            (("--map", "metadata.row=prompt"), "usage", "visprep writes 'row' into metadata.json itself"),
            (("--map", "prompt=promt"), "unknown-name", "did you mean prompt? it has: image, solution_image, prompt"),
            (("--split", "trian"), "unknown-name", "did you mean train? it has: train"),
            (("--config", "other"), "unknown-name", "it has: default"),
        ],
    )
    def test_what_makes_no_sense_changes_nothing(
        self, run, publish: Publish, tmp_path: Path, argv: tuple[str, ...], slug: str, words: str
    ) -> None:
        publish({"train.parquet": table(rows(1))})
        ended = run("download", f"hf:{NAME}", *argv, "--output", tmp_path / "place")
        assert (ended.code, f"[{slug}]" in ended.err, words in ended.err) == (2, True, True), ended.err
        assert not (tmp_path / "place").exists()

    @pytest.mark.parametrize(("name", "words"), [("hf:", "names no dataset"), ("hf:a b/c", "org/name"), ("hf", "hf:")])
    def test_names_that_name_no_dataset(self, run, hub: LocalHub, name: str, words: str) -> None:
        ended = run("download", name)
        assert (ended.code, words in ended.err) == (2, True)
        assert hub.requests == []

    def test_a_dataset_that_there_is_not(self, run, hub: LocalHub, tmp_path: Path) -> None:
        ended = run("download", "hf:org/nothing", "--output", tmp_path / "place")
        assert (ended.code, "[source-missing]" in ended.err) == (3, True)

    @pytest.mark.parametrize(
        ("head", "words"),
        [
            ("configs: [a: b: c]\n  - x", "[wrong-content]"),
            ("configs:\n- config_name: a\n  data_files: &x [*x]", "without an end [source-error]"),
            ("configs:\n- config_name: a\n  data_files: '" + "*?" * 99 + "'", "wildcards [source-error]"),
            ("configs:\n- config_name: a\n  data_files: '[z-a].parquet'", "no parquet files"),
            ("license: &x [*x]\nconfigs: &y [*y]", "columns taken"),
            ("configs: " + "[" * 3000, "[wrong-content]"),
        ],
    )
    def test_cards_that_are_made_to_confuse(self, run, publish: Publish, tmp_path: Path, head: str, words: str) -> None:
        publish({"README.md": f"---\n{head}\n---\n".encode(), "train.parquet": table(rows(1))})
        ended = run("download", f"hf:{NAME}", "--output", tmp_path / "place")
        assert ended.code == (0 if words == "columns taken" else 3), ended.err
        assert words in ended.err
        if ended.code:
            assert "]" in ended.err.splitlines()[0], "the first line ends in the slug"
            assert len(ended.err.splitlines()) <= 2

    def test_others_know_their_columns(self, run, tmp_path: Path) -> None:
        ended = run("download", "sample", "--map", "prompt=x", "--output", tmp_path / "place")
        assert (ended.code, "[usage]" in ended.err, "--map" in ended.err) == (2, True, True)

    def test_places_have_none(self, run, tmp_path: Path) -> None:
        (tmp_path / "here").mkdir()
        ended = run("download", f"{tmp_path}/here", "--map", "prompt=x", "--output", tmp_path / "place")
        assert (ended.code, "--map" in ended.err) == (2, True)

    def test_videothinkbench_fits_without_code(self, run, publish: Publish, tmp_path: Path) -> None:
        publish(upstream_files(3), REPOSITORY)
        refused = run("download", f"hf:{REPOSITORY}", "--output", tmp_path / "place")
        assert (refused.code, "several configs: Eyeballing_Puzzles, " in refused.err) == (2, True)
        command = ("download", f"hf:{REPOSITORY}", "--config", "Mazes,ARC_AGI_2", "--split", "test")
        assert run(*command, "--map", "domain=task", "--output", tmp_path / "place").code == 0
        assert sorted(path.name for path in (tmp_path / "place").glob("mazes_a_task/*")) == [
            "Mazes_test_mazes-00",
            "Mazes_test_mazes-02",
        ]
        assert run("verify", tmp_path / "place").code == 0

    def test_a_limit_reads_no_more_than_it_needs(self, run, hub: LocalHub, publish: Publish, tmp_path: Path) -> None:
        big = [one | {"image": {"bytes": noise(number, 200), "path": None}} for number, one in enumerate(rows(12))]
        dataset = datasets.Dataset.from_list(big).cast_column("image", datasets.Image())
        out = io.BytesIO()
        dataset.to_parquet(out, batch_size=2)
        publish({"train.parquet": out.getvalue()})
        assert run("download", f"hf:{NAME}", "--limit", "2", "--output", tmp_path / "few").code == 0
        assert len(list((tmp_path / "few").glob("*_task/*"))) == 2
        assert sum(request.sent for request in hub.requests if "/cdn/" in request.path) < len(out.getvalue()) / 2


class TestKnownDatasets:
    """Datasets of this kind on the hub, in the layout that they have there (docs/adding-a-source.md)."""

    def test_mme_cof(self, run, publish: Publish, tmp_path: Path) -> None:
        made = [row | {"category": kind} for row, kind in zip(rows(4), ["maze", "2D geometry"] * 2, strict=True)]
        publish({"README.md": b"# MME-CoF\n", "data/train-00000-of-00001.parquet": table(made)}, "VideoReason/MME")
        command = ("download", "hf:VideoReason/MME", "--map", "domain=category", "--output", tmp_path / "place")
        assert run(*command).code == 0
        assert sorted(path.name for path in (tmp_path / "place").glob("*_task")) == [
            f"{segment('2D geometry')}_task",
            "maze_task",
        ]

    def test_vbvr_bench_by_way_of_the_hubs_own_copy(self, run, publish: Publish, tmp_path: Path) -> None:
        made = [
            {
                "first_image": base64.b64encode(png(number)).decode(),
                "first_frame_path": f"In-Domain_50/x/{number:05d}/first_frame.png",
                "prompt": f"Move {number}.",
                "ground_truth_video_path": f"In-Domain_50/x/{number:05d}/ground_truth.mp4",
            }
            for number in range(3)
        ]
        publish({"README.md": b"# VBVR\n", "VBVR-Bench.json": json.dumps(made).encode()})
        refused = run("download", f"hf:{NAME}", "--output", tmp_path / "place")
        assert (refused.code, "what it has: 1 .json" in refused.err) == (3, True)
        assert "--revision refs/convert/parquet" in refused.err
        publish({"default/test/0000.parquet": table(made)}, branch="refs/convert/parquet")
        command = ("download", f"hf:{NAME}", "--revision", "refs/convert/parquet", "--output", tmp_path / "place")
        refused = run(*command)
        assert (refused.code, "--layout vmevalkit" in refused.err) == (2, True)
        assert run(*command, "--layout", "vmevalkit").code == 0
        assert len(list((tmp_path / "place").glob("puzzles_task/test_row*/first_frame.png"))) == 3
        assert run("verify", tmp_path / "place", "--layout", "vmevalkit").code == 0

    def test_vbvr_whose_frames_are_in_archives(self, run, publish: Publish, tmp_path: Path) -> None:
        made = [{"id": 1, "prompt": "Move.", "first_frame_path": "a/first_frame.png", "tar_file": "a.tar.gz"}]
        publish({"data/metadata.parquet": table(made), "data/a.tar.gz": b"x"})
        command = ("download", f"hf:{NAME}", "--layout", "vmevalkit", "--output", tmp_path / "place")
        refused = run(*command)
        assert (refused.code, "its columns are: id, prompt, first_frame_path, tar_file" in refused.err) == (2, True)
        refused = run(*command, "--map", "first_frame=first_frame_path")
        assert (refused.code, "1 row: the first frame is text, and not base64" in refused.err) == (3, True)
        assert "hint" not in refused.err

    def test_loose_files(self, run, publish: Publish, tmp_path: Path) -> None:
        publish({"sim_1_initial.png": png(1), "sim_1_results.json": b"{}"})
        refused = run("download", f"hf:{NAME}", "--output", tmp_path / "place")
        assert (refused.code, "what it has: 1 .png, 1 .json" in refused.err) == (3, True)


class TestTables:
    """Which files are whose split."""

    @pytest.mark.parametrize(
        ("files", "splits"),
        [
            (["data/train-00000-of-00001.parquet", "data/extra-00000-of-00001.parquet"], ["train", "extra"]),
            (["train.parquet", "val.parquet", "evaluation.parquet"], ["train", "validation", "test"]),
            (["train/a.parquet", "test/b.parquet"], ["train", "test"]),
            (["x.parquet", "deep/y.parquet"], ["train"]),
        ],
    )
    def test_a_plain_repository(self, publish: Publish, files: list[str], splits: list[str]) -> None:
        publish({"README.md": b"# Plain\n", "notes.txt": b"x"} | {path: table(rows(1, path)) for path in files})
        upstream = SOURCE.resolve(Selection())
        assert list(upstream.splits) == splits
        assert sorted(shard.file.path for shard in upstream.shards) == sorted(files)
        assert {shard.config for shard in upstream.shards} == {"default"}

    CONFIGS: Mapping[str, dict[str, Any]] = {
        "easy": {"data_files": [{"split": "train", "path": "easy/*.parquet"}]},
        "hard": {
            "data_files": [{"split": "test", "path": "hard/t-[0-9].parquet"}, {"split": "train", "path": ["hard/u*"]}]
        },
        "folder": {"data_dir": "hard"},
    }
    FILES = ("easy/a.parquet", "easy/b.parquet", "hard/t-1.parquet", "hard/t-x.parquet", "hard/u.parquet")

    def test_what_the_card_lists(self, publish: Publish) -> None:
        files = {path: table(rows(1, path)) for path in self.FILES}
        publish(files | {"README.md": card(dict(self.CONFIGS), license="mit")})
        wanted = {
            "easy": [("train", "easy/a.parquet"), ("train", "easy/b.parquet")],
            "hard": [("test", "hard/t-1.parquet"), ("train", "hard/u.parquet")],
            "folder": [("train", f"hard/{name}.parquet") for name in ("t-1", "t-x", "u")],
        }
        for config, listed in wanted.items():
            upstream = SOURCE.resolve(Selection(configs=(config,)))
            assert [(shard.split, shard.file.path) for shard in upstream.shards] == listed
            assert upstream.license == "mit"
        both = SOURCE.resolve(Selection(configs=("hard", "easy"), splits=("train",)))
        assert [shard.file.path for shard in both.shards] == ["hard/u.parquet", "easy/a.parquet", "easy/b.parquet"]

    def test_the_default_config(self, publish: Publish) -> None:
        files = {path: table(rows(1, path)) for path in self.FILES}
        publish(files | {"README.md": card(dict(self.CONFIGS))})
        with pytest.raises(UsageError, match="several configs: easy, folder, hard") as caught:
            SOURCE.resolve(Selection())
        assert "--config easy" in str(caught.value.hint)
        publish(files | {"README.md": card(self.CONFIGS | {"hard": self.CONFIGS["hard"] | {"default": True}})})
        assert {shard.config for shard in SOURCE.resolve(Selection()).shards} == {"hard"}
        publish(files | {"README.md": card({"default": self.CONFIGS["easy"], "hard": self.CONFIGS["hard"]})})
        assert {shard.config for shard in SOURCE.resolve(Selection()).shards} == {"default"}

    def test_a_listed_file_that_is_not_there(self, publish: Publish) -> None:
        publish({"README.md": card({"default": {"data_files": "gone.parquet"}}), "x.parquet": table(rows(1))})
        with pytest.raises(SourceMissing, match=r"lists gone\.parquet as data of default"):
            SOURCE.resolve(Selection())

    def test_a_split_that_only_one_config_has(self, publish: Publish) -> None:
        files = {path: table(rows(1, path)) for path in self.FILES}
        publish(files | {"README.md": card(dict(self.CONFIGS))})
        upstream = SOURCE.resolve(Selection(configs=("easy", "hard"), splits=("test",)))
        assert [shard.config for shard in upstream.shards] == ["hard"]
        with pytest.raises(UnknownName, match="no split 'test'") as caught:
            SOURCE.resolve(Selection(configs=("easy",), splits=("test",)))
        assert caught.value.hint == "it has: train"

    @pytest.mark.parametrize("pinned", [False, True])
    def test_the_hubs_own_copy(self, publish: Publish, pinned: bool) -> None:
        publish({"README.md": b"# x\n", "data.jsonl": b"{}\n"})
        copy = ["a/train/0000.parquet", "a/train/0001.parquet", "b/partial-x/0000.parquet"]
        commit = publish({path: table(rows(1, path)) for path in copy}, branch="refs/convert/parquet")
        revision = commit if pinned else "refs/convert/parquet"
        upstream = SOURCE.resolve(Selection(configs=("a", "b"), revision=revision))
        assert upstream.revision == commit
        assert [(shard.config, shard.split, shard.file.path) for shard in upstream.shards] == [
            ("a", "train", copy[0]),
            ("a", "train", copy[1]),
            ("b", "partial-x", copy[2]),
        ]

    def test_no_parquet(self, publish: Publish) -> None:
        publish({"README.md": b"# x\n", "a.tar.gz": b"x", "b.JSON": b"{}", "c.json": b"{}", "LICENSE": b"x"})
        with pytest.raises(SourceError, match=r"no parquet files; what it has: 2 \.json, 1 ") as caught:
            SOURCE.resolve(Selection())
        assert "--revision refs/convert/parquet" in str(caught.value.hint)
        publish({"README.md": b"# x\n"})
        with pytest.raises(SourceError, match="nothing but its card"):
            SOURCE.resolve(Selection())

    def test_no_parquet_in_a_config(self, publish: Publish) -> None:
        configs = {"text": {"data_files": "a.csv"}, "tables": {"data_files": "a.parquet"}}
        publish({"README.md": card(configs), "a.csv": b"x", "a.parquet": table(rows(1))})
        with pytest.raises(SourceError, match="no parquet files for the config text"):
            SOURCE.resolve(Selection(configs=("text",)))
        assert SOURCE.resolve(Selection(configs=("tables",))).splits == ("train",)


class TestColumns:
    def test_every_chosen_table_must_have_them(self, publish: Publish) -> None:
        publish({"train.parquet": table(rows(1, kind="x")), "test.parquet": table(rows(1))})
        with pytest.raises(UnknownName, match=r"test\.parquet of hf:org/puzzles has no column 'kind'"):
            SOURCE.resolve(Selection(columns={"domain": "kind"}))
        upstream = SOURCE.resolve(Selection(columns={"domain": "kind"}, splits=("train",)))
        assert upstream.columns == MAP | {"domain": "kind"}

    def test_a_final_frame_that_one_split_lacks(self, publish: Publish) -> None:
        publish({"train.parquet": table(rows(1)), "test.parquet": table(rows(1, solution_image=None))})
        with pytest.raises(UsageError, match="plainly the final frame; its columns are: image, prompt") as caught:
            SOURCE.resolve(Selection())
        assert "--layout vmevalkit" in str(caught.value.hint)
        assert "final_frame" not in SOURCE.resolve(Selection(layout="vmevalkit")).columns
        assert SOURCE.resolve(Selection(splits=("train",))).columns == MAP

    def test_a_later_table_of_a_split(self, publish: Publish, tmp_path: Path) -> None:
        lead = "data/train-0000"
        publish({f"{lead}0-of-00002.parquet": table(rows(1)), f"{lead}1-of-00002.parquet": table(rows(1, prompt=None))})
        with pytest.raises(SourceError, match=r"train-00001-of-00002\.parquet .* no column prompt, which other"):
            read(Selection(), tmp_path)


def over(made: list[dict[str, Any]], **columns: str) -> list[Task | Skipped]:
    """The records of rows in memory."""

    class Rows:
        def schema(self, shard: Shard) -> TableSchema:
            return TableSchema(tuple(made[0]), len(made))

        def rows(self, shard: Shard):
            return iter(made)

    shard = Shard(sources.File("x.parquet"), "train", "default")
    mapped = {field: column for field, column in MAP.items() if column in made[0]} | columns
    upstream = Upstream(None, (shard,), "c", ("train",), mapped)
    selection = Selection(layout="template" if "final_frame" in mapped else "vmevalkit")
    return list(SOURCE.records(upstream, "train", selection, Rows()))


class TestCells:
    @pytest.mark.parametrize(
        "cell",
        [
            picture(1),
            png(1),
            [picture(1)],
            base64.b64encode(png(1)).decode(),
            base64.encodebytes(png(1)).decode(),
            f"data:image/png;base64,{base64.b64encode(png(1)).decode()}",
        ],
        ids=["struct", "bytes", "list", "base64", "base64 in lines", "data URL"],
    )
    def test_images_in_every_form(self, publish: Publish, tmp_path: Path, cell: Any) -> None:
        made = rows(2, image=cell, solution_image=cell)
        publish({"train.parquet": table(made)})
        for task in tasks_of(read(Selection(), tmp_path)):
            assert task.first_frame == task.final_frame == png(1)

    @pytest.mark.parametrize(
        ("changed", "reason"),
        [
            ({"image": None}, "no first frame"),
            ({"image": {"bytes": None, "path": None}}, "no first frame"),
            ({"image": {"bytes": b"", "path": None}}, "no first frame"),
            ({"image": ""}, "no first frame"),
            ({"image": {"bytes": None, "path": "x/first.png"}}, "the first frame is only the name of a file"),
            ({"image": "frames/first.png"}, "the first frame is text, and not base64"),
            ({"image": [picture(1), picture(2)]}, "the first frame holds neither bytes nor text"),
            ({"image": 7}, "the first frame holds neither bytes nor text"),
            ({"solution_image": None}, "no final frame"),
            ({"solution_image": "x.png"}, "the final frame is text, and not base64"),
            ({"prompt": None}, "no prompt"),
            ({"prompt": " \n"}, "no prompt"),
            ({"prompt": ["a", "b"]}, "the prompt is not text"),
            ({"prompt": 5}, "the prompt is not text"),
            ({"image": None, "prompt": None}, "no first frame"),
        ],
    )
    def test_rows_that_lack_something(self, changed: dict[str, Any], reason: str) -> None:
        first, second, third = over([rows(1)[0], rows(1)[0] | changed, rows(1)[0]])
        assert second == Skipped("default/train row 1", reason)
        assert [task.id for task in (first, third) if isinstance(task, Task)] == ["train_row00000", "train_row00002"]

    def test_a_final_frame_that_nobody_needs(self) -> None:
        without = [{key: cell for key, cell in row.items() if key != "solution_image"} for row in rows(2)]
        assert [task.final_frame for task in tasks_of(over(without))] == [None, None]

    @pytest.mark.parametrize(
        ("cell", "suffix"), [(AVI, ".avi"), (MP4, ".mp4"), ({"bytes": MP4, "path": "x.mp4"}, ".mp4"), (None, None)]
    )
    def test_ground_truth(self, cell: Any, suffix: str | None) -> None:
        (task,) = tasks_of(over([rows(1)[0] | {"video": cell}], ground_truth="video"))
        assert task.ground_truth == (cell["bytes"] if isinstance(cell, dict) else cell)
        assert task.video_suffix == (suffix or ".avi")

    @pytest.mark.parametrize(
        ("cell", "reason"),
        [
            (b"\x1a\x45\xdf\xa3webm", "the ground truth is neither AVI nor MP4"),
            ("videos/1.mp4", "the ground truth is text, and not base64"),
            ({"bytes": None, "path": "1.mp4"}, "the ground truth is only the name of a file"),
        ],
    )
    def test_ground_truth_that_cannot_be_one(self, cell: Any, reason: str) -> None:
        (record,) = over([rows(1)[0] | {"video": cell}], ground_truth="video")
        assert record == Skipped("default/train row 0", reason)

    def test_a_video_column_is_not_decoded(self, run, publish: Publish, tmp_path: Path) -> None:
        made = rows(2, video={"bytes": AVI, "path": "x.avi"}, sound={"bytes": b"RIFF", "path": "x.wav"})
        publish({"train.parquet": table(made, video=datasets.Video(), sound=datasets.Audio())})
        assert [
            task.ground_truth for task in tasks_of(read(Selection(columns={"ground_truth": "video"}), tmp_path))
        ] == [
            AVI,
            AVI,
        ]

    def test_metadata(self, publish: Publish, tmp_path: Path) -> None:
        cells = {
            "day": datetime.date(2026, 1, 2),
            "score": float("nan"),
            "tags": ["a", "b"],
            "nested": {"deep": [1, None], "at": datetime.datetime(2026, 1, 2, 3)},
            "label": 1,
        }
        publish({"train.parquet": table(rows(1, **cells), label=datasets.ClassLabel(names=["x", "y"]))})
        columns = {f"metadata.my_{key}": key for key in cells}
        (task,) = tasks_of(read(Selection(columns=columns), tmp_path))
        assert {key: value for key, value in task.metadata.items() if key.startswith("my_")} == {
            "my_day": "2026-01-02",
            "my_score": None,
            "my_tags": ["a", "b"],
            "my_nested": {"deep": [1, None], "at": "2026-01-02 03:00:00"},
            "my_label": 1,
        }

    def test_metadata_that_json_cannot_hold(self) -> None:
        (record,) = over([rows(1)[0]], **{"metadata.picture": "image"})
        assert record == Skipped("default/train row 0", "metadata.picture is not text, a number, or a list of these")


class TestNames:
    def test_a_column_called_id_is_the_id(self, publish: Publish, tmp_path: Path) -> None:
        made = [
            row | {"id": name, "domain": kind} for row, name, kind in zip(rows(3), "aab", ["m", "m", ""], strict=True)
        ]
        publish({"train.parquet": table(made)})
        records = tasks_of(read(Selection(), tmp_path))
        assert [task.key for task in records] == [
            "m_task/train_a",
            "m_task/train_a-row00001",
            "puzzles_task/train_b",
        ]
        assert [task.metadata["id"] for task in records] == ["a", "a", "b"]

    @pytest.mark.parametrize(
        ("given", "name"), [(7, "train_7"), ("", "train_row00000"), ("a/b", None), (None, "train_row00000")]
    )
    def test_whatever_the_id_is(self, given: Any, name: str | None) -> None:
        (task,) = tasks_of(over([rows(1)[0] | {"key": given}], id="key"))
        assert task.id == (name or f"train_{segment('a/b')}")

    def test_configs_and_shards(self, publish: Publish, tmp_path: Path) -> None:
        configs = {name: {"data_files": f"{name}/*.parquet"} for name in ("a", "b c")}
        files = {f"{name}/{n}.parquet": table(rows(2, (name, n))) for name in configs for n in range(2)}
        publish(files | {"README.md": card(configs)})
        both = tasks_of(read(Selection(configs=("a", "b c")), tmp_path / "both"))
        assert [task.id for task in both][:5] == [
            *(f"a_train_row{n:05d}" for n in range(4)),
            f"{segment('b c')}_train_row00000",
        ]
        assert both[4:] == tasks_of(read(Selection(configs=("b c",)), tmp_path / "one"))

    def test_they_do_not_depend_on_skipped_rows(self) -> None:
        made = [row | {"key": key} for row, key in zip(rows(4), ["x", "x", None, "x"], strict=True)]
        whole = [task.id for task in tasks_of(over(made, id="key"))]
        for left_out in range(4):
            lacking = [row | ({"image": None} if n == left_out else {}) for n, row in enumerate(made)]
            names = [record.id for record in over(lacking, id="key") if isinstance(record, Task)]
            assert names == whole[:left_out] + whole[left_out + 1 :]
