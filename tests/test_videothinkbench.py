"""The source `videothinkbench` against a hub on loopback that holds its files in the original's layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import vtb_upstream as upstream_of
from visprep import sources
from visprep.errors import CredentialsError, SourceError, SourceGated, SourceMissing, UnknownName, WrongContent
from visprep.formats.tasks import segment
from visprep.records import Skipped, Task
from visprep.sources import Access, Selection, Shard, TableSchema, Upstream
from visprep.sources.videothinkbench import REPOSITORY, VideoThinkBench
from visprep.testing import LocalHub
from visprep.testing.contracts import SourceContract
from vtb_upstream import CONFIGS, TEXT, VISION, PlainAccess, image, noise, row, shard_path, table, upstream_files

SOURCE = VideoThinkBench()
Publish = Callable[..., str]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch):
    with LocalHub(tokens=("t",)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def publish(hub: LocalHub) -> Publish:
    """Put files into the repository, by default the whole layout with four rows in each config; the commit."""

    def published(files: Mapping[str, bytes] | None = None, **options: Any) -> str:
        repository = hub.repositories.get(REPOSITORY) or hub.add(REPOSITORY, **options)
        return repository.commit(files or upstream_files())

    return published


class Rows:
    """An `Access` to rows in memory."""

    def __init__(self, tables: Mapping[str, Sequence[Mapping[str, Any]]], columns: Sequence[str] | None = None) -> None:
        self.tables, self.columns = tables, columns
        self.pulled: list[str] = []

    def schema(self, shard: Shard) -> TableSchema:
        made = self.tables[shard.file.path]
        return TableSchema(tuple(self.columns or made[0]), len(made))

    def rows(self, shard: Shard):
        for one in self.tables[shard.file.path]:
            self.pulled.append(shard.file.path)
            yield one


def over(made: Sequence[Mapping[str, Any]], config: str = "Mazes", layout: str = "template") -> list[Task | Skipped]:
    """The records of some rows of the split `test` of a config."""
    path = shard_path(config, "test")
    shard = Shard(sources.File(path), "test", config)
    return list(SOURCE.records(Upstream(None, (shard,), "c"), "test", Selection(layout=layout), Rows({path: made})))


def ids(records: Sequence[Task | Skipped]) -> list[str]:
    return [record.id for record in records if isinstance(record, Task)]


def read(selection: Selection, folder: Path, split: str = "test") -> tuple[list[Task | Skipped], Upstream]:
    upstream = SOURCE.resolve(selection)
    return list(SOURCE.records(upstream, split, selection, PlainAccess(upstream, folder))), upstream


class TestContract(SourceContract):
    name = "videothinkbench"

    @pytest.fixture
    def upstream(self, hub: LocalHub, publish: Publish) -> LocalHub:
        publish()
        return hub


class TestFacts:
    def test_it_is_registered(self) -> None:
        assert isinstance(sources.get("videothinkbench"), VideoThinkBench)
        assert SOURCE.name == "videothinkbench"

    def test_what_the_paper_counts(self) -> None:
        assert SOURCE.counts == {"minitest": 750, "test": 4149}
        assert (SOURCE.splits, SOURCE.default_splits, SOURCE.license) == (("minitest", "test"), ("test",), "MIT")
        assert SOURCE.configs == CONFIGS
        assert REPOSITORY == upstream_of.REPOSITORY


class TestResolve:
    def test_shards_in_the_listed_order_at_a_commit(self, publish: Publish) -> None:
        commit = publish()
        upstream = SOURCE.resolve(Selection())
        assert upstream.revision == commit
        assert [(shard.split, shard.config, shard.file.path) for shard in upstream.shards] == [
            ("test", config, shard_path(config, "test")) for config in CONFIGS
        ]
        assert all(shard.file.digest and shard.file.digest.startswith("sha256:") for shard in upstream.shards)

    def test_configs_keep_the_listed_order_however_they_are_named(self, publish: Publish) -> None:
        publish()
        upstream = SOURCE.resolve(Selection(configs=("Mazes", "Visual_Puzzles"), splits=("test", "minitest")))
        assert [(shard.split, shard.config) for shard in upstream.shards] == [
            ("test", "Visual_Puzzles"),
            ("test", "Mazes"),
            ("minitest", "Visual_Puzzles"),
            ("minitest", "Mazes"),
        ]

    def test_a_split_that_there_is_not(self, hub: LocalHub) -> None:
        with pytest.raises(UnknownName, match="no split 'train' in videothinkbench") as caught:
            SOURCE.resolve(Selection(splits=("train",)))
        assert caught.value.hint == "it has: minitest, test"
        assert hub.requests == []

    def test_a_config_that_there_is_not(self, hub: LocalHub) -> None:
        with pytest.raises(UnknownName, match="no config 'Maze'") as caught:
            SOURCE.resolve(Selection(configs=("Maze",)))
        assert str(caught.value.hint).startswith("did you mean Mazes? it has: Eyeballing_Puzzles, ")

    def test_a_pinned_revision(self, publish: Publish) -> None:
        first = publish()
        second = publish(upstream_files({"Mazes": 6}))
        assert SOURCE.resolve(Selection()).revision == second
        pinned = SOURCE.resolve(Selection(revision=first))
        assert pinned.revision == first
        assert {shard.file for shard in pinned.shards} != {shard.file for shard in SOURCE.resolve(Selection()).shards}

    @pytest.mark.parametrize("revision", ["v9", "a" * 40])
    def test_an_unknown_revision(self, publish: Publish, revision: str) -> None:
        publish()
        with pytest.raises(SourceMissing, match=f"no revision '{revision}'"):
            SOURCE.resolve(Selection(revision=revision))

    def test_no_such_repository(self, hub: LocalHub) -> None:
        with pytest.raises(SourceMissing, match=REPOSITORY):
            SOURCE.resolve(Selection())

    def test_gated(self, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
        publish(gated=True)
        with pytest.raises(SourceGated):
            SOURCE.resolve(Selection())
        monkeypatch.setenv("HF_TOKEN", "t")
        assert SOURCE.resolve(Selection()).shards

    def test_a_bad_token(self, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
        publish()
        monkeypatch.setenv("HF_TOKEN", "hf_other")
        with pytest.raises(CredentialsError):
            SOURCE.resolve(Selection())


def _card(data_files: str, config: str = "Mazes") -> bytes:
    return f"---\nconfigs:\n- config_name: {config}\n{data_files}\n- config_name: Another\n---\n".encode()


M, T = "minitest_V/Mazes.parquet", "V/Mazes.parquet"


class TestCard:
    """Each way in which a card may list data files."""

    @pytest.mark.parametrize(
        ("data_files", "minitest", "test"),
        [
            (f"  data_files: {T}", [], [T]),
            (f"  data_files: ./{M}", [M], []),
            (f"  data_files:\n  - {M}\n  - {T}", [M], [T]),
            ("  data_files: '**/Mazes.parquet'", [M], [T]),
            ("  data_files: '*V/M?zes.parquet'", [M], [T]),
            ("  data_files: V/**", [], [T]),
            ("  data_dir: V", [], [T]),
            ("  data_dir: V\n  data_files: '*.parquet'", [], [T]),
            (f"  data_files:\n    minitest: {M}\n    test: {T}", [M], [T]),
            (f"  data_files:\n    test:\n    - {T}\n    - {M}", [], [T, M]),
            (
                f"  data_files:\n  - split: minitest\n    path: {T}\n  - split: test\n    path: [{T}, '{M}']",
                [T],
                [T, M],
            ),
            ("  data_files:\n  - split: train\n    path: none\n  - split: test\n    path: 'V/*'", [], [T]),
        ],
    )
    def test_variants(self, publish: Publish, data_files: str, minitest: list[str], test: list[str]) -> None:
        data = table("Mazes", [row("Mazes", 0)])
        publish({"README.md": _card(data_files), M: data, T: data, "V/Mazes.zip": b"zip"})
        for split, wanted in (("minitest", minitest), ("test", test)):
            if wanted:
                shards = SOURCE.resolve(Selection(splits=(split,))).shards
                assert [(shard.config, shard.split) for shard in shards] == [("Mazes", split)] * len(wanted)
                assert [shard.file.path for shard in shards] == wanted
            else:
                with pytest.raises(SourceMissing, match=f"no files of the split '{split}'"):
                    SOURCE.resolve(Selection(splits=(split,)))

    def test_a_listed_file_that_is_not_there(self, publish: Publish) -> None:
        files = upstream_files()
        del files[shard_path("Mazes", "test")]
        publish(files)
        with pytest.raises(SourceMissing, match=shard_path("Mazes", "test")):
            SOURCE.resolve(Selection())
        assert SOURCE.resolve(Selection(configs=("Visual_Puzzles",))).shards
        assert SOURCE.resolve(Selection(splits=("minitest",))).shards

    @pytest.mark.parametrize("readme", [None, b"# Nothing above\n", b"---\nlicense: mit\n---\n"])
    def test_a_card_without_files(self, publish: Publish, readme: bytes | None) -> None:
        files = upstream_files() | {"README.md": readme or b""}
        if readme is None:
            del files["README.md"]
        publish(files)
        for split in ("test", "minitest"):
            shards = SOURCE.resolve(Selection(splits=(split,))).shards
            assert [shard.file.path for shard in shards] == [shard_path(config, split) for config in CONFIGS]

    def test_a_config_that_upstream_does_not_have_yet(self, publish: Publish) -> None:
        publish(upstream_files() | {"README.md": upstream_of.card(VISION[:2])})
        assert [shard.config for shard in SOURCE.resolve(Selection()).shards] == list(VISION[:2])
        with pytest.raises(SourceMissing, match="no files of Mazes for the split 'test'"):
            SOURCE.resolve(Selection(configs=("Mazes", "Visual_Puzzles")))

    def test_no_files_at_all(self, publish: Publish) -> None:
        publish({"README.md": b"# Empty\n"})
        with pytest.raises(SourceMissing, match="no files of the split 'test'"):
            SOURCE.resolve(Selection())

    def test_a_list_that_makes_no_sense(self, publish: Publish) -> None:
        publish({"README.md": _card("  data_files: 7")})
        with pytest.raises(SourceError, match="lists 7 as a data file"):
            SOURCE.resolve(Selection())


class TestRecords:
    def test_real_rows_become_tasks(self, publish: Publish, tmp_path: Path) -> None:
        commit = publish(upstream_files(10))
        records, _ = read(Selection(), tmp_path)
        tasks = [record for record in records if isinstance(record, Task)]
        made = [one for config in VISION for one in upstream_of.rows(config, 10)]
        assert len(tasks) == 40
        for task, one in zip(tasks, made, strict=True):
            assert task.domain == one["task"]
            assert task.id == f"vtb_test_{one['id']}"
            assert task.prompt == one["prompt"]
            assert task.first_frame == one["image"]["bytes"]
            assert task.final_frame == one["solution_image"]["bytes"]
        assert tasks[13].metadata == {
            "source": "videothinkbench",
            "repository": REPOSITORY,
            "revision": commit,
            "split": "test",
            "config": "Visual_Puzzles",
            "task": made[13]["task"],
            "id": made[13]["id"],
            "row": 3,
        }

    def test_text_centric_rows_have_no_final_frame(self, publish: Publish, tmp_path: Path) -> None:
        publish()
        selection = Selection(configs=(TEXT,))
        upstream = SOURCE.resolve(selection)
        access = PlainAccess(upstream, tmp_path)
        records = list(SOURCE.records(upstream, "test", selection, access))
        assert records == [Skipped(shard_path(TEXT, "test"), "no final frame", 4)]
        assert access.read == []

    def test_which_another_layout_does_not_ask_for(self, publish: Publish, tmp_path: Path) -> None:
        publish()
        records, _ = read(Selection(configs=("Mazes", TEXT), layout="vmevalkit"), tmp_path)
        tasks = [record for record in records if isinstance(record, Task)]
        assert [(task.metadata["config"], bool(task.final_frame)) for task in tasks] == [
            *[("Mazes", True)] * 4,
            *[(TEXT, False)] * 4,
        ]
        assert [task.metadata.get("answer") for task in tasks] == [None] * 4 + ["0", "1", "2", "3"]

    def test_minitest(self, publish: Publish, tmp_path: Path) -> None:
        publish()
        records, _ = read(Selection(configs=("Mazes",), splits=("minitest",)), tmp_path, "minitest")
        assert ids(records) == ["vtb_minitest_mazes-00", "vtb_minitest_mazes-01"]

    def test_several_shards_go_on_counting(self) -> None:
        tables = {f"V/Mazes-{n}.parquet": [row("Mazes", n, id=None), row("Mazes", n, id="x")] for n in range(3)}
        shards = tuple(Shard(sources.File(path), "test", "Mazes") for path in tables)
        records = list(SOURCE.records(Upstream(None, shards, "c"), "test", Selection(), Rows(tables)))
        assert [record.metadata["row"] for record in records if isinstance(record, Task)] == [0, 1, 2, 3, 4, 5]
        assert [name for name in ids(records) if "row" in name][:2] == ["vtb_test_row00000", "vtb_test_row00002"]

    def test_rows_are_pulled_one_at_a_time(self) -> None:
        tables = {path: [row("Mazes", n) for n in range(5)] for path in ("V/a.parquet", "V/b.parquet")}
        shards = tuple(Shard(sources.File(path), "test", "Mazes") for path in tables)
        access = Rows(tables)
        records = SOURCE.records(Upstream(None, shards, "c"), "test", Selection(limit=2), access)
        next(records)
        next(records)
        assert access.pulled == ["V/a.parquet"] * 2

    @pytest.mark.parametrize(
        ("changed", "template", "vmevalkit"),
        [
            ({"image": None}, "no first frame", "no first frame"),
            ({"image": {"bytes": None, "path": "a.png"}}, "no first frame", "no first frame"),
            ({"image": {"bytes": b"", "path": None}}, "no first frame", "no first frame"),
            ({"solution_image": None}, "no final frame", None),
            ({"prompt": None}, "no prompt", "no prompt"),
            ({"prompt": " \n\t"}, "no prompt", "no prompt"),
            ({"image": None, "solution_image": None, "prompt": None}, "no first frame", "no first frame"),
        ],
    )
    def test_rows_that_lack_something(
        self, changed: dict[str, Any], template: str | None, vmevalkit: str | None
    ) -> None:
        for layout, reason in (("template", template), ("vmevalkit", vmevalkit)):
            first, second, third = over([row("Mazes", 0), row("Mazes", 1, **changed), row("Mazes", 2)], layout=layout)
            assert ids([first, third]) == ["vtb_test_mazes-00", "vtb_test_mazes-02"]
            if reason:
                assert second == Skipped("Mazes/test row 1", reason)
            else:
                assert ids([second]) == ["vtb_test_mazes-01"]

    def test_images_without_the_struct_of_datasets(self) -> None:
        (task,) = over([row("Mazes", 0, image=b"first", solution_image=b"final")])
        assert isinstance(task, Task)
        assert (task.first_frame, task.final_frame) == (b"first", b"final")


class TestColumns:
    @staticmethod
    def records(columns: Sequence[str], config: str, layout: str = "template") -> list[Task | Skipped]:
        path = shard_path(config, "test")
        shard = Shard(sources.File(path), "test", config)
        access: Access = Rows({path: [row(config, 0)]}, columns)
        return list(SOURCE.records(Upstream(None, (shard,), "c"), "test", Selection(layout=layout), access))

    def test_missing_ones_are_named_with_those_there_are(self) -> None:
        with pytest.raises(SourceError, match=r"Mazes\.parquet .* no column prompt and no image; .*: a, id, task"):
            self.records(("a", "id", "task", "solution_image"), "Mazes")

    def test_a_solution_that_was_there_before(self) -> None:
        columns = ("task", "id", "prompt", "image", "target_image")
        with pytest.raises(SourceError, match="no column solution_image") as caught:
            self.records(columns, "Mazes")
        assert "--revision" in str(caught.value.hint)
        assert len(ids(self.records(columns, "Mazes", "vmevalkit"))) == 1

    def test_a_solution_that_was_never_there(self) -> None:
        columns = ("task", "id", "prompt", "image", "answer")
        assert self.records(columns, TEXT) == [Skipped(shard_path(TEXT, "test"), "no final frame", 1)]
        assert len(ids(self.records(columns, TEXT, "vmevalkit"))) == 1


class TestIds:
    def test_names_are_made_safe(self) -> None:
        (task,) = over([row("Mazes", 0, task="../A b", id="x/y:z")])
        assert isinstance(task, Task)
        assert task.domain == segment("../A b")
        assert task.id == f"vtb_test_{segment('x/y:z')}"
        assert "/" not in task.domain + task.id

    @pytest.mark.parametrize("nothing", [None, "", "  "])
    def test_rows_without_an_id_or_a_task(self, nothing: str | None) -> None:
        first, second = over([row("Mazes", 0), row("Mazes", 1, id=nothing, task=nothing)])
        assert isinstance(first, Task)
        assert isinstance(second, Task)
        assert (second.domain, second.id) == ("mazes", "vtb_test_row00001")
        assert (second.metadata["id"], second.metadata["task"]) == (nothing, nothing)

    def test_repeated_ids(self) -> None:
        same = [row("Mazes", n, id="x", task="t") for n in range(3)]
        other = row("Mazes", 3, id="x", task="u")
        assert ids(over([*same, other])) == ["vtb_test_x", "vtb_test_x-row00001", "vtb_test_x-row00002", "vtb_test_x"]

    def test_an_id_that_looks_like_a_repeated_one(self) -> None:
        made = [row("Mazes", n, id=name, task="t") for n, name in enumerate(("x-row00001", "x", "x-row00001", "x"))]
        names = ids(over(made))
        assert len(set(names)) == 4
        assert names[:2] == ["vtb_test_x-row00001", "vtb_test_x"]

    def test_they_do_not_depend_on_skipped_rows(self) -> None:
        made = [row("Mazes", n, id=name, task="t") for n, name in enumerate(("a", "a", "b", None, "b"))]
        whole = ids(over(made))
        for left_out in range(len(made)):
            lacking = [one | ({"image": None} if n == left_out else {}) for n, one in enumerate(made)]
            assert ids(over(lacking)) == whole[:left_out] + whole[left_out + 1 :]

    def test_nor_on_limits_and_configs(self, publish: Publish, tmp_path: Path) -> None:
        publish()
        everything, _ = read(Selection(), tmp_path / "a")
        alone, _ = read(Selection(configs=("Mazes",)), tmp_path / "b")
        assert ids(everything)[-4:] == ids(alone)
        assert len(set(ids(everything))) == 16


class TestTransfer:
    def test_a_few_rows_move_a_footer_and_a_row_group(self, hub: LocalHub, publish: Publish, tmp_path: Path) -> None:
        large = [row("Mazes", n, image=image(noise(n, 250)), solution_image=image(noise(-n, 250))) for n in range(12)]
        files = upstream_files(2, row_group_size=3) | {shard_path("Mazes", "test"): table("Mazes", large, 3)}
        publish(files)
        selection = Selection(configs=("Mazes",), limit=2)
        upstream = SOURCE.resolve(selection)
        records = SOURCE.records(upstream, "test", selection, PlainAccess(upstream, tmp_path, by_groups=True))
        assert ids([next(records), next(records)]) == ["vtb_test_mazes-00", "vtb_test_mazes-01"]
        records.close()
        size = len(files[shard_path("Mazes", "test")])
        moved = sum(request.sent for request in hub.requests if "/cdn/" in request.path)
        assert size > 4_000_000
        assert moved < size / 4 + 8 * 64 * 1024  # a row group of four, two looks at the footer, blocks that overlap

    def test_row_groups_and_whole_files_say_the_same(self, publish: Publish, tmp_path: Path) -> None:
        publish(upstream_files(7, row_group_size=2))
        upstream = SOURCE.resolve(Selection())
        (tmp_path / "groups").mkdir()
        by_groups = PlainAccess(upstream, tmp_path / "groups", by_groups=True)
        whole = PlainAccess(upstream, tmp_path / "whole")
        records = [list(SOURCE.records(upstream, "test", Selection(), access)) for access in (by_groups, whole)]
        assert records[0] == records[1]

    def test_a_damaged_shard_is_named(self, publish: Publish, tmp_path: Path) -> None:
        path = shard_path("Mazes", "test")
        files = upstream_files()
        publish(files | {path: files[path][:-100]})
        with pytest.raises(WrongContent, match=path):
            read(Selection(configs=("Mazes",)), tmp_path)

    def test_trouble_on_the_way_changes_nothing(self, hub: LocalHub, publish: Publish, tmp_path: Path) -> None:
        publish()
        calm, _ = read(Selection(), tmp_path / "a")
        hub.fault("GET /api/", status=503)
        hub.fault("GET /datasets/.*README", status=429, headers={"Retry-After": "0"})
        hub.fault("GET /cdn/", cut=100, reset=True)
        hub.fault("GET /cdn/", status=500)
        rough, _ = read(Selection(), tmp_path / "b")
        assert rough == calm
