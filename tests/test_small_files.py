"""The express lane: many small files on the shortest way, and what happens to those that do not get through on it."""

import hashlib
import threading
from collections import Counter

import pytest

from s3_door import Door, action, error
from visprep.digests import digest_of
from visprep.errors import AccessDenied, ChangedMeanwhile, VisprepError, WrongContent
from visprep.express import Ask, express
from visprep.manifest import File
from visprep.messages import SMALL
from visprep.request_window import Window
from visprep.settings import S3Settings
from visprep.small_files import moved
from visprep.stores.local import LocalStore
from visprep.stores.s3 import S3Store

BODIES = {f"n{number:03d}": bytes([number]) * (number + 1) for number in range(150)}


class Bucket:
    """What a `Door` answers for a bucket with objects in memory; `trouble` may answer first."""

    def __init__(self, objects=(), trouble=lambda seen, times: None):
        self.objects, self.trouble = dict(objects), trouble
        self.asked, self.lock = Counter(), threading.Lock()
        self.most = self.now = 0

    def __call__(self, seen):
        key = seen.path.removeprefix("/bucket/")
        with self.lock:
            self.asked[key] += 1
            times = self.asked[key]
        if (refused := self.trouble(seen, times)) is not None:
            return refused
        if seen.method == "PUT":
            self.objects[key] = seen.body
            return 200, {"ETag": f'"{hashlib.md5(seen.body).hexdigest()}"'}, b""
        if key not in self.objects:
            return error(404, "NoSuchKey")
        body = self.objects[key]
        head = {"ETag": f'"{hashlib.md5(body).hexdigest()}"', "Content-Length": str(len(body))}
        return 200, head, b"" if seen.method == "HEAD" else body


@pytest.fixture
def bucket():
    """A function that gives a store for a `Bucket`, each behind a door of its own."""
    doors = []

    def opened(content):
        doors.append(Door(answer=content).__enter__())
        return S3Store("s3://bucket", S3Settings(endpoint_url=doors[-1].url, access_key="AK", secret_key="SK"))

    yield opened
    for door in doors:
        door.__exit__(None, None, None)


def listed(bodies, digest=digest_of):
    return [File(path, len(body), digest(body)) for path, body in sorted(bodies.items())]


def down(files, origin, folder, window=None):
    return {file.path: outcome for file, outcome in moved(files, origin, LocalStore(folder), window or Window())}


def on_disk(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_down_each_file_costs_one_request_and_comes_with_its_digest(bucket, tmp_path):
    content = Bucket(BODIES)
    heard = []
    outcomes = moved(listed(BODIES), bucket(content), LocalStore(tmp_path), Window(), heard.append)
    assert {file.path: done for file, done in outcomes} == {file.path: file for file in listed(BODIES)}
    assert on_disk(tmp_path) == BODIES
    assert set(content.asked.values()) == {1}
    assert sum(heard) == sum(map(len, BODIES.values()))


def test_up_each_file_costs_one_request_and_says_what_it_holds(bucket, tmp_path):
    for path, body in BODIES.items():
        (tmp_path / path).write_bytes(body)
    told = {}
    content = Bucket(trouble=lambda seen, times: told.update({seen.path: seen.headers}))
    origin = LocalStore(tmp_path)
    outcomes = {file.path: done for file, done in moved(origin.list(), origin, bucket(content), Window())}
    assert content.objects == BODIES
    assert set(content.asked.values()) == {1}
    for path, body in BODIES.items():
        assert (outcomes[path].digest, outcomes[path].etag) == (digest_of(body), f'"{hashlib.md5(body).hexdigest()}"')
        assert told[f"/bucket/{path}"]["x-amz-meta-sha256"] == hashlib.sha256(body).hexdigest()
        assert told[f"/bucket/{path}"]["x-amz-checksum-sha256"]


def once(path, answer):
    return lambda seen, times: answer if seen.path == f"/bucket/{path}" and times == 1 else None


SHORT_TROUBLE = {
    "slow-down": error(503, "SlowDown"),
    "internal": error(500, "InternalError"),
    "wrong-bytes": (200, {}, b"\xff" * len(BODIES["n007"])),
    "fewer": (200, {}, BODIES["n007"][:-1]),
    "more": (200, {}, BODIES["n007"] + b"!"),
    "other-etag": (200, {"ETag": '"00000000000000000000000000000000"'}, BODIES["n007"]),
    "a-part": (206, {"Content-Range": "bytes 0-0/8"}, BODIES["n007"][:1]),
}


@pytest.mark.parametrize("trouble", SHORT_TROUBLE)
def test_what_goes_wrong_once_is_done_again_the_ordinary_way(bucket, tmp_path, trouble):
    content = Bucket(BODIES, once("n007", SHORT_TROUBLE[trouble]))
    etags = [
        File(f.path, f.size, f.digest, None, f'"{hashlib.md5(BODIES[f.path]).hexdigest()}"') for f in listed(BODIES)
    ]
    outcomes = down(etags, bucket(content), tmp_path)
    assert not [outcome for outcome in outcomes.values() if isinstance(outcome, VisprepError)]
    assert on_disk(tmp_path) == BODIES
    assert content.asked.pop("n007") == 2
    assert set(content.asked.values()) == {1}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(error(403, "AccessDenied"), AccessDenied), ((200, {}, b"\xff" * len(BODIES["n007"])), WrongContent)],
)
def test_what_stays_wrong_is_one_error_and_the_rest_is_done(bucket, tmp_path, answer, kind):
    content = Bucket(BODIES, lambda seen, times: answer if seen.path.endswith("n007") else None)
    outcomes = down(listed(BODIES), bucket(content), tmp_path)
    assert isinstance(outcomes.pop("n007"), kind)
    assert on_disk(tmp_path) == {path: body for path, body in BODIES.items() if path != "n007"}
    assert not [outcome for outcome in outcomes.values() if isinstance(outcome, VisprepError)]


def test_an_object_that_is_another_one_by_now_is_refused(bucket, tmp_path):
    (only,) = listed({"a": b"new"})
    changed = File("a", 3, None, None, '"' + "0" * 32 + '"')
    outcomes = down([changed], bucket(Bucket({"a": b"new"})), tmp_path)
    assert isinstance(outcomes["a"], ChangedMeanwhile)
    assert not (tmp_path / "a").exists()
    assert down([only], bucket(Bucket({"a": b"new"})), tmp_path) == {"a": only}


def test_where_everything_is_refused_few_requests_are_sent_before_it_is_told(bucket, tmp_path):
    content = Bucket(BODIES, lambda seen, times: error(403, "AccessDenied"))
    outcomes = moved(listed(BODIES), bucket(content), LocalStore(tmp_path), Window(2, 2))
    assert isinstance(next(outcomes)[1], AccessDenied)
    outcomes.close()
    assert sum(content.asked.values()) < 12


def test_slow_down_halves_what_is_under_way(bucket, tmp_path):
    window = Window(32, 64)
    content = Bucket(BODIES, once("n000", error(503, "SlowDown")))
    down(listed(BODIES), bucket(content), tmp_path, window)
    assert window.halved == 1


def test_files_that_are_not_small_and_those_of_unknown_size_come_the_ordinary_way(bucket, tmp_path):
    bodies = BODIES | {"big": b"b" * (SMALL + 1), "unknown": b"?"}
    files = [File(f.path, None if f.path == "unknown" else f.size, f.digest) for f in listed(bodies)]
    outcomes = down(files, bucket(Bucket(bodies)), tmp_path)
    assert on_disk(tmp_path) == bodies
    assert {path: outcome.size for path, outcome in outcomes.items()} == {path: len(b) for path, b in bodies.items()}


def test_a_file_that_is_not_what_was_promised_is_not_uploaded(bucket, tmp_path):
    (tmp_path / "a").write_bytes(b"other")
    content = Bucket()
    promised = File("a", 5, digest_of(b"thing"))
    ((_, outcome),) = moved([promised], LocalStore(tmp_path), bucket(content), Window())
    assert isinstance(outcome, (WrongContent, ChangedMeanwhile))
    assert content.objects == {}
    for algorithm in ("md5", "git-sha1"):
        promised = File("a", 5, digest_of(b"other", algorithm))
        ((_, outcome),) = moved([promised], LocalStore(tmp_path), bucket(content), Window())
        assert outcome.digest == digest_of(b"other")


def test_where_there_is_nothing_to_begin_now_it_ends_when_nothing_is_under_way(bucket, tmp_path):
    first, second = listed({"a": b"1", "b": b"2"})
    origin = bucket(Bucket({"a": b"1", "b": b"2"}))
    stream = iter([first, None, None, second])
    seen = []
    while len(seen) < 2:
        seen += [file.path for file, _ in moved(stream, origin, LocalStore(tmp_path), Window())]
    assert seen == ["a", "b"]


def test_no_more_is_under_way_than_the_window_says(bucket, tmp_path):
    now = most = 0
    lock, gate = threading.Lock(), threading.Event()

    def trouble(seen, times):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
            if now == 4:
                gate.set()
        gate.wait(5)
        with lock:
            now -= 1

    down(listed(BODIES), bucket(Bucket(BODIES, trouble)), tmp_path, Window.fixed(4))
    assert most == 4


def test_bodies_that_nobody_has_taken_yet_hold_the_next_back(bucket, tmp_path):
    bodies = {f"{number:02d}": bytes([number]) * SMALL for number in range(40)}
    content = Bucket(bodies)
    outcomes = moved(listed(bodies), bucket(content), LocalStore(tmp_path), Window(40, 40))
    next(outcomes)
    assert sum(content.asked.values()) <= 17
    assert len(list(outcomes)) == 39
    assert on_disk(tmp_path) == bodies


def test_who_leaves_early_leaves_nothing_behind(bucket, tmp_path):
    content = Bucket(BODIES)
    outcomes = moved(listed(BODIES), bucket(content), LocalStore(tmp_path), Window(8, 8))
    for _ in range(20):
        next(outcomes)
    outcomes.close()
    assert all(BODIES[name] == body for name, body in on_disk(tmp_path).items())


def test_a_server_that_cannot_be_reached_is_no_answer():
    ask = Ask("GET", "http://127.0.0.1:9/x", [], None, None, 1)
    assert list(express(iter([("a", ask), ("b", ask)]), Window())) == [("a", None), ("b", None)]


def test_requests_are_signed_and_options_travel(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    content = Bucket()
    with Door(answer=content) as door:
        settings = S3Settings(
            endpoint_url=door.url, access_key="AK", secret_key="SK", request_payer=True, storage_class="STANDARD_IA"
        )
        origin, target = LocalStore(tmp_path), S3Store("s3://bucket", settings)
        assert [outcome.path for _, outcome in moved(origin.list(), origin, target, Window())] == ["a"]
        (seen,) = door.seen
    assert action(seen) == "s3:PutObject"
    assert seen.headers["x-amz-request-payer"] == "requester"
    assert seen.headers["x-amz-storage-class"] == "STANDARD_IA"
    assert seen.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AK/")
