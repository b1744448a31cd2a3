"""Published places as every reader sees them: which version counts, what that costs, and that nothing writes there."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import pytest

import visprep
from coco_place import make
from s3_door import Door, action, error
from visprep import errors
from visprep.manifest import MANIFEST, File
from visprep.settings import S3Settings
from visprep.stores import open_store
from visprep.stores.memory import MemorySink
from visprep.stores.published import annotation_url, one_version, resolve, url_of
from visprep.stores.s3 import S3Store
from visprep.stores.versions import Pointer, Version, header, key_of, line
from visprep.wire import wait


def put(place: str, name: str, files: dict[str, bytes], loaders: dict[str, bytes] | None = None) -> Version:
    """Publish by hand: what the layout says, and nothing of what `publish` does."""
    store = S3Store(place)
    lines = []
    for path, data in sorted(files.items()):
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        wait(store.write(key_of(path, digest), data))
        lines.append(line(File(path, len(data), digest), key_of(path, digest)))
    manifest = header(len(files), sum(map(len, files.values())), loaders or ()) + b"".join(lines)
    version = Version(
        name, f"versions/{name}/manifest.jsonl", hashlib.sha256(manifest).hexdigest(), "2026-01-01T00:00:00Z"
    )
    wait(store.write(version.manifest, manifest))
    for path, data in (loaders or {}).items():
        wait(store.write(version.path_of(path), data))
    wait(store.write("current.json", Pointer(version).dump()))
    return version


FIRST = {"a.txt": b"one", "deep/er/b.txt": b"two", "current.json": b"{}", "versions/x": b"mine", "README": b"r"}
SECOND = {**FIRST, "a.txt": b"other"}


@pytest.fixture
def place(bucket: str) -> str:
    return f"s3://{bucket}/some/place"


def test_a_version_is_pinned_at_the_first_use(place):
    put(place, "v1", FIRST)
    store = open_store(place)
    assert wait(store.read("a.txt")) == b"one"
    put(place, "v2", SECOND)
    assert [file.path for file in store.list()] == sorted(FIRST)
    assert [wait(store.read(path)) for path in FIRST] == list(FIRST.values())
    assert wait(open_store(place).read("a.txt")) == b"other"
    again = pickle.loads(pickle.dumps(store))
    assert wait(again.read("a.txt")) == b"one"
    assert list(again.list()) == list(store.list())


def test_all_that_a_store_can_tell_of_a_file(place):
    put(place, "v1", FIRST)
    store = open_store(place)
    digest = f"sha256:{hashlib.sha256(b'two').hexdigest()}"
    told = wait(store.stat("deep/er/b.txt"))
    assert (told.path, told.size, told.digest) == ("deep/er/b.txt", 3, digest)
    assert wait(store.hash("deep/er/b.txt", "sha256")) == digest
    assert wait(store.read("deep/er/b.txt", 1, 1)) == b"w"
    sink = MemorySink()
    wait(store.fetch(told, sink))
    assert sink.getvalue() == b"two"
    with pytest.raises(errors.FileMissing):
        wait(store.read("gone"))
    with pytest.raises(errors.FileMissing):  # though such a key is there
        wait(store.read("versions/v1/manifest.jsonl"))


def test_where_a_file_lies(place):
    put(place, "v1", FIRST)
    store = resolve(open_store(place))
    hex16 = hashlib.sha256(b"two").hexdigest()[:16]
    assert url_of(store, "deep/er/b.txt") == f"{place}/files/deep/er/b.{hex16}.txt"
    assert url_of(resolve(open_store(place + "/deep/..")), "x") == f"{place}/deep/../x"


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("a.jpg", "files/a.{}.jpg"),
        ("d/a.tar.gz", "files/d/a.tar.{}.gz"),
        ("d.x/README", "files/d.x/README.{}"),
        (".visprep/manifest.jsonl", "files/.visprep/manifest.{}.jsonl"),
        ("d/.hidden", "files/d/.hidden.{}"),
        ("dot.", "files/dot.{}."),
    ],
)
def test_keys(path, key):
    assert key_of(path, "sha256:" + "0123456789abcdef" * 4) == key.format("0123456789abcdef")


def test_a_directory_of_a_published_place_is_a_place(place, bucket):
    put(place, "v1", FIRST)
    store = open_store(f"{place}/deep/er")
    assert [file.path for file in store.list()] == ["b.txt"]
    assert wait(open_store(f"{place}/deep").read("er/b.txt")) == b"two"
    with pytest.raises(errors.PlaceMissing):
        list(open_store(f"s3://{bucket}/elsewhere").list())


@pytest.mark.parametrize("do", ["write", "delete", "receive"])
def test_nothing_writes_there(place, do, tmp_path):
    put(place, "v1", FIRST)
    (tmp_path / "a.txt").write_bytes(b"new")
    works = {
        "write": lambda store: store.write("a.txt", b"new"),
        "delete": lambda store: store.delete("a.txt"),
        "receive": lambda store: store.receive(File("a.txt", 3), open_store(str(tmp_path))),
    }
    with pytest.raises(errors.AccessDenied) as told:
        wait(works[do](open_store(place)))
    assert "visprep publish" in told.value.hint
    assert wait(open_store(place).read("a.txt")) == b"one"


def test_someone_elses_pointer_is_a_file(place):
    store = S3Store(place)
    for data in (b"[]", b"not json", b'{"version": "7"}', b'{"kind": 3}'):
        wait(store.write("current.json", data))
        assert wait(open_store(place).read("current.json")) == data
        assert [file.path for file in open_store(place).list()] == ["current.json"]
    wait(store.write("current.json", b'{"kind": "visprep-published", "format_version": 2}'))
    with pytest.raises(errors.BadRecord, match="format_version 2"):
        list(open_store(place).list())
    wait(store.write("current.json", b'{"kind": "visprep-published", "format_version": 1}'))
    with pytest.raises(errors.BadRecord, match="damaged"):
        list(open_store(place).list())


def test_a_manifest_that_was_tampered_with(place):
    version = put(place, "v1", FIRST)
    wait(S3Store(place).write(version.manifest, b"{}\n"))
    with pytest.raises(errors.WrongContent):
        wait(open_store(place).read("a.txt"))


def test_what_an_unpublished_place_costs(place, s3_server):
    plain = S3Store(place)
    for path in ("a.txt", "z.txt", MANIFEST):
        wait(plain.write(path, b"x"))
    with Door(s3_server) as door:
        settings = S3Settings(endpoint_url=door.url)

        def asked(work) -> list[str]:
            door.seen.clear()
            work(open_store(place, settings))
            return [seen.path for seen in door.seen if "current.json" in seen.path]

        assert asked(lambda store: list(store.list())) == []
        assert asked(lambda store: wait(store.fetch(File(MANIFEST), MemorySink()))) == []
        assert asked(lambda store: [wait(store.read(path)) for path in (MANIFEST, "a.txt", "z.txt")]) == []
        wait(plain.delete(MANIFEST))
        assert asked(lambda store: list(store.list())) == []
        assert len(asked(lambda store: [wait(store.read(path)) for path in ("a.txt", "z.txt", "a.txt")])) == 1
        written = asked(lambda store: [wait(store.write(path, b"y")) for path in ("b", "c")])
        assert [path.partition("/current")[0].count("/") for path in written] == [3, 2, 1]  # and those above it


def test_who_may_not_list_can_read(run, place, s3_server, tmp_path):
    """To such a reader S3 says "forbidden" of what is not there, too."""
    put(place, "v1", FIRST)

    def answer(seen):
        if action(seen) == "s3:ListBucket":
            return error(403, "AccessDenied")
        there = door.forward(seen)
        return error(403, "AccessDenied") if there[0] == 404 else there

    with Door(s3_server, answer) as door:
        settings = S3Settings(endpoint_url=door.url)
        assert [file.path for file in open_store(place, settings).list()] == sorted(FIRST)
        assert wait(open_store(f"{place}/deep", settings).read("er/b.txt")) == b"two"
        assert [file.path for file in open_store(f"{place}/deep", settings).list()] == ["er/b.txt"]
        assert run("download", place, "-o", tmp_path / "back", "--endpoint-url", door.url).code == 0
        assert (tmp_path / "back/deep/er/b.txt").read_bytes() == b"two"
        assert run("diff", tmp_path / "back", place, "--endpoint-url", door.url).code in (0, 1)
        assert annotation_url(f"{place}/current.json", settings) == f"{place}/current.json"
        with pytest.raises(errors.AccessDenied):
            list(open_store(f"{place}-2", settings).list())


def test_a_pointer_that_may_not_be_read(run, place, s3_server, tmp_path):
    """The listing shows it, so the place is published: who may not know its version gets nothing else instead."""
    put(place, "v1", FIRST)
    (tmp_path / "new").mkdir()
    (tmp_path / "new/x.txt").write_text("x")

    def answer(seen):
        return error(403, "AccessDenied") if seen.path.endswith("/current.json") and seen.method == "GET" else None

    with Door(s3_server, answer) as door:
        for argv in (
            ("ls", place),
            ("verify", place),
            ("download", place, "-o", tmp_path / "back"),
            ("upload", tmp_path / "new", place),
            ("upload", tmp_path / "new", f"{place}/zz"),
            ("publish", tmp_path / "new", place),
            ("publish", "--rollback", place),
            ("publish", "--prune", place),
        ):
            ended = run(*argv, "--endpoint-url", door.url)
            assert (ended.code, ended.out) == (3, ""), argv
            assert "s3:GetObject" in ended.err, argv
            assert "current.json" in ended.err, argv
        settings = S3Settings(endpoint_url=door.url)
        for work in (lambda store: wait(store.read("a.txt")), lambda store: list(store.list())):
            with pytest.raises(errors.AccessDenied):
                work(open_store(place, settings))
    assert not any(seen.method in ("PUT", "DELETE", "POST") for seen in door.seen)


@pytest.mark.parametrize("option", ["--rollback", "--prune"])
def test_going_back_says_why_it_cannot(run, place, s3_server, option):
    with Door(s3_server, lambda seen: error(403, "AccessDenied")) as door:
        ended = run("publish", option, place, "--endpoint-url", door.url)
    assert (ended.code, "[access-denied]" in ended.err) == (3, True)
    ended = run("publish", option, "s3://no-such-bucket/x")
    assert (ended.code, "there is no bucket 'no-such-bucket'" in ended.err) == (3, True)
    ended = run("publish", option, place)
    assert (ended.code, "nothing is published there" in ended.err) == (3, True)


def test_a_directory_that_a_version_does_not_have(run, place, tmp_path):
    put(place, "v1", FIRST)
    (tmp_path / "here").mkdir()
    (tmp_path / "here/x").write_text("x")
    for argv in (("ls",), ("status",), ("verify",), ("diff", tmp_path / "here"), ("download",)):
        ended = run(argv[0], f"{place}/nothing", *argv[1:])
        assert (ended.code, "[place-missing]" in ended.err) == (3, True), argv
        assert "in version v1" in ended.err, argv


def test_stores_of_one_command_agree(place):
    put(place, "v1", FIRST)
    with one_version():
        first = resolve(open_store(place))
        put(place, "v2", SECOND)
        second = open_store(place)
        assert wait(second.read("a.txt")) == wait(first.read("a.txt")) == b"one"
        assert [file.path for file in open_store(f"{place}/deep").list()] == ["er/b.txt"]
    assert wait(open_store(place).read("a.txt")) == b"other"


def test_the_annotation_file_for_loaders(place):
    files = {"annotations/x.json": b"{}", "annotations/no-images.json": b"{}"}
    put(place, "v1", files, {"annotations/x.json": b'{"images": []}'})
    found = annotation_url(f"{place}/annotations/x.json")
    assert found == f"{place}/versions/v1/annotations/x.json"
    assert annotation_url(found) == found
    with pytest.raises(errors.FileMissing, match="has not all its images"):
        annotation_url(f"{place}/annotations/no-images.json")
    with pytest.raises(errors.FileMissing, match="is not there, in version v1"):
        annotation_url(f"{place}/annotations/y.json")
    wait(S3Store(f"{place}-2").write("x.json", b"{}"))
    assert annotation_url(f"{place}-2/x.json") == f"{place}-2/x.json"
    with pytest.raises(errors.FileMissing):
        annotation_url(f"{place}-2/y.json")


@pytest.mark.parametrize(
    "argv",
    [
        ("convert", "{url}", "--to", "yolo", "--output", "out"),
        ("split", "{url}", "--parts", "train=0.5,test=0.5", "--output", "out"),
        ("leaks", "{url}"),
        ("verify", "{url}"),
        ("verify", "{url}/annotations/instances_val2017.json"),
        ("download", "{url}", "--output", "out"),
        ("sync", "{url}", "out"),
        ("diff", "{url}", "coco"),
        ("ls", "{url}"),
        ("status", "{url}"),
    ],
)
def test_a_command_asks_once_which_version_counts(run, place, s3_server, argv):
    coco = make(Path("coco"), train=4, val=2)
    visprep.publish(coco, place)
    with Door(s3_server) as door:
        ended = run(*(word.format(url=place) for word in argv), "--endpoint-url", door.url)
    assert ended.code in (0, 1), ended.err
    asked = [seen for seen in door.seen if seen.method == "GET" and seen.path.endswith("/place/current.json")]
    assert len(asked) == 1
