"""Plans and their reasons, and what a failure does to the rest."""

import threading

import pytest

from s3_door import Door, error
from visprep import wire
from visprep.digests import digest_of
from visprep.errors import CredentialsError, FileMissing, PlaceMissing, ServerFailed, Unreachable
from visprep.manifest import File
from visprep.plans import Action, guard, plan
from visprep.settings import S3Settings
from visprep.stores.local import LocalStore
from visprep.stores.memory import MemoryStore
from visprep.stores.s3 import S3Store
from visprep.transfer import apply

MIB = 1024 * 1024


def planned(want, have, origin=None, target=None):
    return list(plan(want, have, origin or MemoryStore(), target or MemoryStore()))


def files(store):
    return list(store.list())


def test_a_plan_says_what_and_why():
    origin = MemoryStore(files={"new": b"1", "longer": b"12", "other": b"ab", "same": b"=="})
    target = MemoryStore(files={"longer": b"1", "other": b"cd", "same": b"==", "extra": b"x"})
    plans = planned(files(origin), files(target), origin, target)
    assert [(one.action, one.file.path, one.reason) for one in plans] == [
        (Action.REPLACE, "longer", "the size differs"),
        (Action.CREATE, "new", "not there"),
        (Action.REPLACE, "other", "the content differs"),
        (Action.KEEP, "same", "the same"),
    ]


class Ignorant(MemoryStore):
    """A store that cannot tell a digest, as S3 for an object that somebody else sent in parts."""

    async def hash(self, path, algorithm):
        return None


def test_doubt_means_doing_it_again():
    origin, target = MemoryStore(files={"a": b"1"}), Ignorant(files={"a": b"1"})
    (one,) = planned(files(origin), files(target), origin, target)
    assert (one.action, one.reason) == (Action.REPLACE, "the content cannot be compared")


class Encrypted(MemoryStore):
    """A store whose listing gives ETags that look like MD5s and are not, but that knows its SHA-256s."""

    def list(self):
        return (File(file.path, file.size, "md5:" + "0" * 32) for file in super().list())

    async def hash(self, path, algorithm):
        return await super().hash(path, algorithm) if algorithm == "sha256" else None


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_an_etag_that_is_no_md5_proves_no_difference(algorithm):
    origin, target = MemoryStore(files={"a": b"1"}), Encrypted(files={"a": b"1"})
    (one,) = planned([File("a", 1, digest_of(b"1", algorithm))], files(target), origin, target)
    assert one.action is Action.KEEP


def test_guard_turns_replacing_into_refusing():
    origin, target = MemoryStore(files={"a": b"1", "b": b"2"}), MemoryStore(files={"a": b"x", "b": b"y"})
    guarded = guard(planned(files(origin), files(target), origin, target), lambda one: one.file.path == "a")
    assert [(one.file.path, one.action) for one in guarded] == [("a", Action.REPLACE), ("b", Action.REFUSE)]


class Failing(MemoryStore):
    """An origin that fails for some files."""

    def __init__(self, held, errors):
        super().__init__(files=held)
        self.errors = errors

    async def fetch(self, file, sink):
        if file.path in self.errors:
            raise self.errors[file.path]
        await super().fetch(file, sink)


def test_a_failure_is_an_outcome_and_the_rest_goes_on():
    origin = Failing({"a": b"1", "b": b"2", "c": b"3"}, {"b": FileMissing("b: gone")})
    target = MemoryStore()
    outcomes = dict(apply(planned(files(origin), []), origin, target))
    assert isinstance(outcomes["b"], FileMissing)
    assert [file.path for file in target.list()] == ["a", "c"]


def test_what_would_meet_every_file_ends_it():
    names = [f"{number:03}" for number in range(100)]
    first_it_breaks = {name: Unreachable("gone") for name in names} | {names[0]: ServerFailed("down")}
    for errors, raised in (
        (dict.fromkeys(names, CredentialsError("none")), CredentialsError),
        (first_it_breaks, Unreachable),
    ):
        origin = Failing(dict.fromkeys(names, b"x"), errors)
        with pytest.raises(raised):
            list(apply(planned(files(origin), []), origin, MemoryStore()))


def test_a_place_that_is_not_there_ends_it_at_once(tmp_path):
    for number in range(100):
        (tmp_path / str(number)).write_bytes(b"x")
    origin = LocalStore(tmp_path)
    with Door(answer=lambda seen: error(404, "NoSuchBucket")) as door:
        target = S3Store("s3://bucket", S3Settings(endpoint_url=door.url, access_key="AK", secret_key="SK"))
        outcomes = apply(planned(files(origin), []), origin, target, jobs=2)
        with pytest.raises(PlaceMissing):
            list(outcomes)
        assert len(door.seen) < 10


def test_a_large_upload_ends_with_the_command(tmp_path):
    with (tmp_path / "big").open("wb") as file:
        file.truncate(20 * MIB * 5)
    origin, ended = LocalStore(tmp_path), threading.Event()

    def answer(seen):
        if seen.method == "PUT":
            assert seen.query["partNumber"] == "1" or ended.wait(60)
            return 200, {"ETag": '"e"'}, b""
        if "uploads" in seen.query and seen.method == "POST":
            return 200, {}, b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
        return 200, {}, b"<ListMultipartUploadsResult></ListMultipartUploadsResult>"

    def interrupt(moved):
        raise KeyboardInterrupt

    settings = {"access_key": "AK", "secret_key": "SK", "part_size": 5 * MIB}
    with Door(answer=answer) as door:
        target = S3Store("s3://bucket", S3Settings(endpoint_url=door.url, **settings))
        with pytest.raises(KeyboardInterrupt):
            list(apply(planned(files(origin), []), origin, target, on_bytes=interrupt))
        ended.set()
        for thread in threading.enumerate():
            if thread.name == "visprep-large":
                thread.join(60)
                assert not thread.is_alive()
        assert 0 < len([seen for seen in door.seen if seen.method == "PUT"]) < 20
        assert not [seen for seen in door.seen if seen.method == "POST" and "uploadId" in seen.query]


def test_many_missing_files_do_not_end_it():
    names = [f"{number:03}" for number in range(100)]
    origin = Failing(dict.fromkeys(names, b"x"), {name: FileMissing(name) for name in names[:-1]})
    target = MemoryStore()
    assert len(dict(apply(planned(files(origin), []), origin, target))) == 100
    assert wire.wait(target.read("099")) == b"x"
