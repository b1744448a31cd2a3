"""Tasks as parquet files and as WebDatasets, read by those whose formats these are, and tasks again."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import visprep
from conftest import tree
from record_places import make_task, make_tasks, picture, write
from visprep.errors import Incomplete, PlaceError, UsageError, WouldOverwrite, WrongContent
from visprep.testing import LocalHub

FORMATS = ("parquet", "webdataset")
RECORD = ("dataset.json", ".visprep/manifest.jsonl")


@pytest.fixture(autouse=True)
def one_day(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.fixture
def odd(tmp_path):
    """Tasks with all that makes it hard to bring a file back to the byte."""
    place = make_tasks(tmp_path / "questions", 7)
    home = place / "maze_task/maze_0000"
    write(home / "ground_truth.avi", b"RIFF....AVI ")
    write(home / "ground_truth.mp4", b"....ftypisom")
    write(home / "frames/0001.PNG", picture(50))
    write(home / "a%2Fb.tar.gz", b"not an archive")
    write(home / ".hidden", b"")
    write(home / "Prompt.txt", b"another")
    write(home / "pROMPT.txt", b"and another")
    write(home / "LICENSE", b"free")
    write(place / "maze_task/maze_0002/prompt.txt", b"\xef\xbb\xbf Solve it.\r\n\r\n")
    write(place / "maze_task/maze_0004/prompt.txt", "Lös das".encode("latin-1"))
    write(place / "maze_task/maze_0004/metadata.json", b"\xff{")
    write(place / "maze_task/maze_0006/metadata.json", b'\xef\xbb\xbf{ "a":1.0e0 }')
    write(place / "maze_task/v1.2 100%/prompt.txt", b"")
    write(place / "maze_task/v1.2 100%/first_frame.png", b"no picture")
    write(place / "deep.er/gen/kind_task/K_1/prompt.txt", b"Deep.\n")
    write(place / "deep.er/gen/kind_task/K_1/first_frame.png", picture(51))
    write(place / "loose/prompt.txt", b"At no domain.\n")
    write(place / "loose/first_frame.png", picture(52))
    return place


def convert(origin, to, output, **options):
    return visprep.convert(origin, to=to, output=output, **options)


def there_and_back(origin, tmp_path, to, **options):
    convert(origin, to, tmp_path / "there", **options)
    return convert(tmp_path / "there", "tasks", tmp_path / "back")


def data(place):
    return {path: content for path, content in tree(place).items() if path not in RECORD}


def rows(place, split="train"):
    return [row for file in sorted(place.glob(f"data/{split}-*.parquet")) for row in pq.read_table(file).to_pylist()]


def samples(archive):
    """The samples of a tar file, put together as the library `webdataset` does it (its tariterators.py)."""
    found = {}
    with tarfile.open(archive) as opened:
        for member in opened:
            assert member.isfile()
            prefix, suffix = re.match(r"^((?:.*/|)[^.]+)[.]([^/]*)$", member.name).groups()
            if prefix not in found:
                found[prefix] = {}
            assert prefix == list(found)[-1], "the files of a sample lie together"
            assert suffix.lower() not in found[prefix]
            found[prefix][suffix.lower()] = opened.extractfile(member).read()
    return found


# There and back


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("options", [{}, {"shard_tasks": 2}])
def test_every_file_comes_back_to_the_byte(odd, tmp_path, to, options):
    result = there_and_back(odd, tmp_path, to, **options)
    assert data(tmp_path / "back") == data(odd)
    assert (result.kind, result.losses, result.files) == (to, {}, len(data(odd)))


@pytest.mark.parametrize("to", FORMATS)
def test_the_bytes_are_those_of_the_tasks_alone(odd, tmp_path, to):
    shutil.copytree(odd, tmp_path / "elsewhere/questions")
    for path in (tmp_path / "elsewhere").rglob("*"):
        path.chmod(0o777)
        os.utime(path, (1, 1))
    convert(odd, to, tmp_path / "one", shard_tasks=4, jobs=1)
    convert(tmp_path / "elsewhere/questions", to, tmp_path / "two", shard_tasks=4)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert visprep.verify(tmp_path / "one", depth="content").findings == ()


@pytest.mark.parametrize("to", FORMATS)
def test_a_domain_or_a_task_alone_knows_where_it_belongs(tmp_path, to):
    place = make_tasks(tmp_path / "questions", 4)
    for number, part in enumerate(("maze_task", "maze_task/maze_0000")):
        convert(place / part, to, tmp_path / f"there{number}")
        convert(tmp_path / f"there{number}", "tasks", tmp_path / f"back{number}")
        want = {path: content for path, content in data(place).items() if path.startswith(part)}
        assert data(tmp_path / f"back{number}") == want


def test_parts_become_splits(tmp_path):
    place = tmp_path / "parts"
    for part, count in (("train", 5), ("val", 2)):
        make_tasks(place / part, count)
    convert(place, "parquet", tmp_path / "tables", shard_tasks=3)
    assert sorted(path.name for path in (tmp_path / "tables/data").iterdir()) == [
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
        "val-00000-of-00001.parquet",
    ]
    convert(place, "webdataset", tmp_path / "samples", shard_tasks=3)
    assert sorted(path.name for path in (tmp_path / "samples").glob("*.tar")) == [
        "train-000000.tar",
        "train-000001.tar",
        "val-000000.tar",
    ]
    for there in ("tables", "samples"):
        convert(tmp_path / there, "tasks", tmp_path / f"{there}-back")
        assert data(tmp_path / f"{there}-back") == data(place)


@pytest.mark.parametrize("to", FORMATS)
def test_shards_end_where_the_next_task_would_be_too_much(tmp_path, to):
    place = make_tasks(tmp_path / "questions", 5, domains=("a",))
    write(place / "a_task/a_0002/ground_truth.mp4", bytes(3_000_000))
    convert(place, to, tmp_path / "there", shard_size=2)
    shards = sorted((tmp_path / "there").rglob(f"*.{'tar' if to == 'webdataset' else to}"))
    large = [path.stat().st_size > 3_000_000 for path in shards]
    assert large == [False, True, False]  # what is too large by itself has one of its own


def test_an_archive_is_a_place_too(tmp_path):
    place = make_tasks(tmp_path / "questions", 3)
    shutil.make_archive(str(tmp_path / "questions"), "zip", place)
    there_and_back(tmp_path / "questions.zip", tmp_path, "webdataset")
    assert data(tmp_path / "back") == data(place)


@pytest.mark.parametrize("to", FORMATS)
def test_on_s3_too(bucket, tmp_path, to):
    place = make_tasks(tmp_path / "questions", 3)
    visprep.sync(place, f"s3://{bucket}/questions")
    convert(place, to, tmp_path / "near")
    convert(f"s3://{bucket}/questions", to, tmp_path / "far")
    assert data(tmp_path / "near") == data(tmp_path / "far")
    assert convert(f"s3://{bucket}/questions", to, tmp_path / "far").files == 0
    visprep.sync(tmp_path / "near", f"s3://{bucket}/there")
    convert(f"s3://{bucket}/there", "tasks", tmp_path / "back")
    assert data(tmp_path / "back") == data(place)
    (place / "maze_task/maze_0000/prompt.txt").write_bytes(b"Anew.\n")
    visprep.sync(place, f"s3://{bucket}/questions")
    with pytest.raises(WouldOverwrite, match="in another way: the files on S3 changed since"):
        convert(f"s3://{bucket}/questions", to, tmp_path / "far")


# Those whose formats these are


def load(tmp_path, *names, **options):
    import datasets

    datasets.disable_progress_bars()
    return datasets.load_dataset(*map(str, names), cache_dir=str(tmp_path / "cache"), **options)


def test_datasets_shows_the_pictures(tmp_path):
    place = make_tasks(tmp_path / "questions", 5)
    (place / "maze_task/maze_0000/final_frame.png").unlink()
    write(place / "maze_task/maze_0000/ground_truth.mp4", b"....ftypisom")
    convert(place, "parquet", tmp_path / "tables", shard_tasks=2)
    by_card = load(tmp_path, tmp_path / "tables")["train"]
    by_files = load(tmp_path, "parquet", data_files=str(tmp_path / "tables/data/*.parquet"))["train"]
    assert by_card.features == by_files.features
    assert [(row["id"], row["prompt"]) for row in by_card] == [(row["id"], row["prompt"]) for row in by_files]
    assert len(by_card) == 5
    first = by_card[0]
    assert (first["domain"], first["id"], first["prompt"]) == ("maze", "maze_0000", "Solve number 0.")
    with Image.open(place / "maze_task/maze_0000/first_frame.png") as want:
        assert first["first_frame"].tobytes() == want.convert("RGB").tobytes()
    assert first["final_frame"] is None
    assert first["ground_truth"]["bytes"] == b"....ftypisom"
    assert json.loads(first["metadata"]) == {"source": "s0", "level": {"n": 0}}
    assert by_card[1]["ground_truth"] is None
    assert by_card[1]["final_frame"].size == (16, 16)


def test_what_datasets_writes_of_it_becomes_the_same_tasks(odd, tmp_path):
    convert(odd, "parquet", tmp_path / "tables")
    table = load(tmp_path, tmp_path / "tables")["train"]
    (tmp_path / "theirs").mkdir()
    table.to_parquet(str(tmp_path / "theirs/all.parquet"))
    convert(tmp_path / "theirs", "tasks", tmp_path / "back")
    assert data(tmp_path / "back") == data(odd)


PUSHED = """
import sys
from datasets import load_dataset
from huggingface_hub import HfApi

tables, out = sys.argv[1:]
load_dataset(tables, cache_dir=f"{out}/first").push_to_hub("me/pushed")
HfApi().create_repo("me/folder", repo_type="dataset")
HfApi().upload_folder(repo_id="me/folder", repo_type="dataset", folder_path=tables, ignore_patterns=".visprep/**")
for name in ("pushed", "folder"):
    loaded = load_dataset(f"me/{name}", cache_dir=f"{out}/again")
    for split, table in loaded.items():
        table.to_parquet(f"{out}/{name}/{split}.parquet")
"""


def test_it_is_pushed_to_a_hub_and_loaded_from_there(odd, tmp_path):
    """By the libraries that people push with: rows, or the directory as it is."""
    shutil.copytree(odd / "loose", odd / "test/walk_task/loose")
    convert(odd, "parquet", tmp_path / "tables", shard_tasks=4)
    with LocalHub(tokens=("hf_me",)) as hub:
        settings = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_me", "HF_HOME": str(tmp_path / "home")}
        settings |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        command = [sys.executable, "-c", PUSHED, tmp_path / "tables", tmp_path]
        done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        files = hub.repositories["me/folder"].at("main").files
        there = {path: b"".join(entry.blob.read()) for path, entry in files.items()}
    assert {path: there[path] for path in data(tmp_path / "tables")} == data(tmp_path / "tables")
    for name in ("pushed", "folder"):
        convert(tmp_path / name, "tasks", tmp_path / f"{name}-back")
        assert data(tmp_path / f"{name}-back") == data(odd)


def test_visprep_downloads_it_from_a_hub(tmp_path, run, monkeypatch):
    place = make_tasks(tmp_path / "questions", 5)
    convert(place, "parquet", tmp_path / "tables", shard_tasks=2)
    with LocalHub() as hub:
        hub.add("me/tasks").commit(data(tmp_path / "tables"))
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        ended = run("download", "hf:me/tasks", "--output", tmp_path / "got")
        assert (ended.code, "5 tasks" in ended.err) == (0, True), ended.err
    got = tmp_path / "got/maze_task/train_maze_0000"
    for name in ("first_frame.png", "final_frame.png", "prompt.txt"):
        assert (got / name).read_bytes() == (place / "maze_task/maze_0000" / name).read_bytes()


def test_the_samples_of_a_web_dataset(odd, tmp_path):
    convert(odd, "webdataset", tmp_path / "there", shard_tasks=4)
    found = {}
    for archive in sorted((tmp_path / "there").glob("*.tar")):
        found |= samples(archive)
    assert len(found) == 10
    sample = found["maze_task/maze_0000"]
    home = odd / "maze_task/maze_0000"
    for path in ("first_frame.png", "final_frame.png", "ground_truth.avi", "metadata.json"):
        assert sample[path] == (home / path).read_bytes()
    assert len(sample) == len([path for path in home.rglob("*") if path.is_file()])
    assert found["maze_task/v1%2E2 100%25"] == {"prompt.txt": b"", "first_frame.png": b"no picture"}


def test_webdataset_reads_it(odd, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    convert(odd, "webdataset", tmp_path / "there")
    path = str(tmp_path / "there/train-000000.tar")
    found = {
        sample.pop("__key__"): {name: value for name, value in sample.items() if not name.startswith("__")}
        for sample in webdataset.WebDataset(path, shardshuffle=False)
    }
    assert found == samples(path)


def test_datasets_reads_the_web_dataset(tmp_path):
    place = make_tasks(tmp_path / "questions", 5)
    convert(place, "webdataset", tmp_path / "there", shard_tasks=2)
    table = load(tmp_path, "webdataset", data_files=str(tmp_path / "there/train-*.tar"))["train"]
    assert len(table) == 5
    assert table[0]["first_frame.png"].size == (16, 16)
    assert table[0]["prompt.txt"] == "Solve number 0.\n"
    assert table[0]["metadata.json"] == {"source": "s0", "level": {"n": 0}}


# Again, and interrupted


@pytest.mark.parametrize("to", FORMATS)
def test_run_again_it_does_nothing_unless_a_task_changed(tmp_path, to):
    place = make_tasks(tmp_path / "questions", 6, domains=("a",))
    first = convert(place, to, tmp_path / "there", shard_tasks=2)
    before = tree(tmp_path / "there")
    again = convert(place, to, tmp_path / "there", shard_tasks=2)
    assert (again.files, again.kept) == (0, first.files)
    assert tree(tmp_path / "there") == before
    prompt = place / "a_task/a_0003/prompt.txt"
    prompt.write_bytes(prompt.read_bytes().replace(b"3", b"9"))
    assert convert(place, to, tmp_path / "there", shard_tasks=2).files == 1
    convert(place, to, tmp_path / "anew", shard_tasks=2)
    assert data(tmp_path / "there") == data(tmp_path / "anew")


def test_shards_of_another_count_are_not_mixed_in(tmp_path):
    place = make_tasks(tmp_path / "questions", 2, domains=("a",))
    convert(place, "parquet", tmp_path / "there", shard_tasks=2)
    before = tree(tmp_path / "there")
    make_task(place, "a_task/more", 77)
    with pytest.raises(WouldOverwrite, match="train-00000-of-00001"):
        convert(place, "parquet", tmp_path / "there", shard_tasks=2)
    assert tree(tmp_path / "there") == before


@pytest.mark.parametrize("to", FORMATS)
def test_empty_directories_and_links_are_lost(tmp_path, to):
    place = make_tasks(tmp_path / "questions", 2, domains=("a",))
    assert convert(place, to, tmp_path / "whole", lossless=True).losses == {}
    (place / "a_task/a_0000/extra/none").mkdir(parents=True)
    (place / "nothing").mkdir()
    (place / "a_task/a_0001/link.txt").symlink_to("prompt.txt")
    result = convert(place, to, tmp_path / "there")
    assert result.losses == {"directories": 2, "links": 1}
    assert {one.path for one in result.findings} == {"a_task/a_0000/extra/none/", "a_task/a_0001/link.txt"}
    convert(tmp_path / "there", "tasks", tmp_path / "back")
    link = tmp_path / "back/a_task/a_0001/link.txt"
    assert (link.is_symlink(), link.read_bytes()) == (False, (place / "a_task/a_0001/prompt.txt").read_bytes())


@pytest.mark.parametrize("to", FORMATS)
def test_a_shard_with_a_file_that_cannot_be_read_is_made_once_it_can(tmp_path, to):
    place = make_tasks(tmp_path / "questions", 6, domains=("a",))
    bad = place / "a_task/a_0003/prompt.txt"
    bad.unlink()
    bad.symlink_to("nowhere")
    with pytest.raises(Incomplete, match="1 of"):
        convert(place, to, tmp_path / "there", shard_tasks=2)
    suffix = "tar" if to == "webdataset" else "parquet"
    assert len([path for path in data(tmp_path / "there") if path.endswith(suffix)]) == 2
    assert not [path for path in (tmp_path / "there/.visprep").rglob("*") if path.suffix == f".{suffix}"]
    journal = (tmp_path / "there/.visprep/journal.jsonl").read_text()
    assert "a_task/a_0003/prompt.txt" in journal
    bad.unlink()
    bad.write_bytes(b"Solve number 3.\n")
    assert convert(place, to, tmp_path / "there", shard_tasks=2).files >= 1
    convert(place, to, tmp_path / "anew", shard_tasks=2)
    assert tree(tmp_path / "there") == tree(tmp_path / "anew")


# What is lost, and what is not taken


@pytest.mark.parametrize("to", FORMATS)
def test_what_is_of_no_task_is_lost_and_told(tmp_path, to):
    place = make_tasks(tmp_path / "questions", 2)
    write(place / "LICENSE", b"free")
    write(place / "docs/about.md", b"more")
    refused = convert(place, to, tmp_path / "there", lossless=True)
    assert refused.refused
    assert not (tmp_path / "there").exists()
    result = convert(place, to, tmp_path / "there")
    assert result.losses == refused.losses == {"files": 2}
    assert {one.code for one in result.findings} == {"field-lost"}
    assert not convert(place / "maze_task", to, tmp_path / "all", lossless=True).refused


def test_columns_of_others_are_lost_and_told(tmp_path):
    place = make_tasks(tmp_path / "questions", 2)
    convert(place, "parquet", tmp_path / "there")
    (tmp_path / "more").mkdir()
    table = pq.read_table(next((tmp_path / "there/data").iterdir()))
    pq.write_table(table.append_column("score", pa.array([1.0, 2.0])), tmp_path / "more/all.parquet")
    assert convert(tmp_path / "more", "tasks", tmp_path / "back", lossless=True).refused
    assert convert(tmp_path / "more", "tasks", tmp_path / "back").losses == {"score": 2}
    assert data(tmp_path / "back") == data(place)


def table_of(file, rows, **columns):
    file.parent.mkdir(parents=True, exist_ok=True)
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    known = {"id": pa.string(), "domain": pa.string(), "prompt": pa.string(), "first_frame": image} | columns
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(list(known.items()))), file)


def test_a_table_made_by_hand(tmp_path):
    frame = {"bytes": picture(1), "path": None}
    row = {"id": "a b", "domain": "odd/one", "prompt": "Go.", "first_frame": frame}
    table_of(tmp_path / "hand/rows.parquet", [row])
    convert(tmp_path / "hand", "tasks", tmp_path / "back")
    ((prompt, text),) = [(path, text) for path, text in data(tmp_path / "back").items() if path.endswith("prompt.txt")]
    assert re.fullmatch(r"odd_one-[0-9a-f]{8}_task/a_b-[0-9a-f]{8}/prompt\.txt", prompt)
    assert text == b"Go.\n"


def test_a_picture_without_bytes_fails_alone(tmp_path):
    rows = [
        {"id": str(number), "domain": "d", "prompt": "Go.", "first_frame": frame}
        for number, frame in enumerate(({"bytes": picture(1), "path": "x"}, {"bytes": None, "path": "x.png"}))
    ]
    table_of(tmp_path / "hand/rows.parquet", rows)
    with pytest.raises(Incomplete, match=r"d_task/1/first_frame\.png"):
        convert(tmp_path / "hand", "tasks", tmp_path / "back")
    assert sorted(data(tmp_path / "back")) == ["d_task/0/first_frame.png", "d_task/0/prompt.txt", "d_task/1/prompt.txt"]


@pytest.mark.parametrize(
    ("rows", "columns", "words"),
    [
        ([], {"first_frame": pa.string()}, "its column first_frame is of string"),
    ],
)
def test_tables_that_cannot_be(tmp_path, rows, columns, words):
    table_of(tmp_path / "hand/rows.parquet", [{"prompt": "Go.", **row} for row in rows], **columns)
    with pytest.raises(WrongContent, match=words):
        convert(tmp_path / "hand", "tasks", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_rows_of_one_task_fail_alone_and_are_named(tmp_path):
    rows = [{"id": id, "domain": "d", "prompt": "Go."} for id in "1213"]
    table_of(tmp_path / "hand/rows.parquet", rows)
    with pytest.raises(Incomplete) as told:
        convert(tmp_path / "hand", "tasks", tmp_path / "back")
    words = "d_task/1/prompt.txt is there twice: rows.parquet, row 0: prompt.txt, and rows.parquet, row 2: prompt.txt"
    assert words in told.value.message
    assert told.value.hint.startswith("take one of the two away")
    assert sorted(data(tmp_path / "back")) == ["d_task/2/prompt.txt", "d_task/3/prompt.txt"]


def test_a_table_of_something_else(tmp_path, run):
    write(tmp_path / "other/rows.parquet", b"PAR1 and no more")
    ended = run("convert", tmp_path / "other", "--to", "tasks", "--output", tmp_path / "back")
    assert (ended.code, "rows.parquet is damaged or not parquet" in ended.err) == (3, True)
    pq.write_table(pa.table({"question": ["?"]}), tmp_path / "other/rows.parquet")
    ended = run("convert", tmp_path / "other", "--to", "tasks", "--output", tmp_path / "back")
    assert (ended.code, "it has no column domain, but question" in ended.err) == (3, True)


@pytest.mark.parametrize("path", ["../../outside", "/outside", ".visprep", "a/../../b"])
def test_rows_that_would_lie_elsewhere_fail_alone(tmp_path, path):
    rows = [
        {"id": "1", "domain": "d", "prompt": "Go.", "path": path},
        {"id": "2", "domain": "d", "prompt": "Go."},
    ]
    table_of(tmp_path / "hand/rows.parquet", rows, path=pa.string())
    with pytest.raises(Incomplete):
        convert(tmp_path / "hand", "tasks", tmp_path / "in/back")
    assert sorted(data(tmp_path / "in/back")) == ["d_task/2/prompt.txt"]
    assert not list(tmp_path.rglob("outside*"))


def archive(path, *members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as out:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if content is None:
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
                out.addfile(member)
            else:
                member.size = len(content)
                out.addfile(member, io.BytesIO(content))


def test_members_that_are_no_files_of_tasks(tmp_path):
    good = ("d_task/1.prompt.txt", b"Go.\n")
    archive(
        tmp_path / "there/a.tar",
        good,
        ("d_task/2.prompt.txt", None),
        ("../up.prompt.txt", b"x"),
        (".visprep/manifest.jsonl", b"x"),
        ("README", b"read"),
    )
    with pytest.raises(Incomplete) as told:
        convert(tmp_path / "there", "tasks", tmp_path / "in/back")
    assert re.search(r"a\.tar, byte \d+: \.visprep/manifest\.jsonl: ", told.value.message)
    assert "a.tar/d_task/2.prompt.txt" in told.value.message
    assert data(tmp_path / "in/back") == {"d_task/1/prompt.txt": b"Go.\n"}
    assert not list(tmp_path.rglob("up*"))
    archive(tmp_path / "there/a.tar", good, ("d_task/2.prompt.txt", b"Go."), good)
    with pytest.raises(
        Incomplete, match=r"is there twice: a\.tar, byte 512: d_task/1\.prompt\.txt, and a\.tar, byte"
    ) as told:
        convert(tmp_path / "there", "tasks", tmp_path / "twice")
    assert [one.path for one in told.value.result.failed] == ["d_task/1/prompt.txt"]
    assert list(data(tmp_path / "twice")) == ["d_task/2/prompt.txt"]
    archive(tmp_path / "there/a.tar", good, ("README", b"read"))
    assert convert(tmp_path / "there", "tasks", tmp_path / "anew").losses == {"members": 1}


def test_archives_of_something_else(tmp_path):
    archive(tmp_path / "there/a.tar", ("0001.jpg", b"x"), ("0001.cls", b"1"))
    with pytest.raises(WrongContent, match="no sample in these archives is a task"):
        convert(tmp_path / "there", "tasks", tmp_path / "back")
    archive(tmp_path / "there/a.tar", ("1.prompt.txt", b"x"))
    archive(tmp_path / "there/b.tar", ("1.prompt.txt", b"y"))
    with pytest.raises(Incomplete, match=r"1/prompt\.txt is there twice: a\.tar, byte 512: .* and b\.tar, byte 512: "):
        convert(tmp_path / "there", "tasks", tmp_path / "twice")
    whole = (tmp_path / "there/a.tar").read_bytes()
    (tmp_path / "there/b.tar").write_bytes(whole[:700])
    with pytest.raises(WrongContent, match=r"b\.tar"):
        convert(tmp_path / "there", "tasks", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_options_that_say_nothing_there(tmp_path):
    place = make_tasks(tmp_path / "questions", 2)
    with pytest.raises(UsageError, match="--shard-tasks"):
        convert(place, "webdataset", tmp_path / "there", shard_tasks=0)
    convert(place, "webdataset", tmp_path / "there")
    with pytest.raises(UsageError, match="--shard-size says nothing of webdataset to tasks"):
        convert(tmp_path / "there", "tasks", tmp_path / "back", shard_size=3)


def test_a_file_that_is_in_the_way_stays(tmp_path):
    place = make_tasks(tmp_path / "questions", 2)
    write(tmp_path / "there/README.md", b"mine")
    with pytest.raises(PlaceError):
        convert(place, "parquet", tmp_path / "there")
    assert tree(tmp_path / "there") == {"README.md": b"mine"}


# Memory


@pytest.mark.parametrize("to", FORMATS)
def test_memory_is_that_of_a_few_tasks(tmp_path, to):
    place = make_tasks(tmp_path / "questions", 60, domains=("a",))
    for number in range(60):  # 470 MB
        write(place / f"a_task/a_{number:04d}/ground_truth.mp4", bytes([number]) * 7_900_000)
    code = """
import sys, visprep
import pyarrow.parquet, visprep._convert, visprep.tasks_to_parquet, visprep.tasks_to_webdataset
# Of this program alone: what getrusage tells begins with the size of the one that started it
peak = lambda: int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) // 1000
before = peak()
visprep.convert(sys.argv[1], to=sys.argv[2], output=sys.argv[3] + "/there")
visprep.convert(sys.argv[3] + "/there", to="tasks", output=sys.argv[3] + "/back")
print(peak() - before)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code, place, to, tmp_path], capture_output=True, text=True, check=True
    )
    assert int(ended.stdout) < 400
    assert data(tmp_path / "back") == data(place)
