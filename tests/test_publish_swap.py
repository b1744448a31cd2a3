"""The pointer to a version: swapped in one step, rolled back, and what goes when old versions are pruned."""

from __future__ import annotations

import json
import os
import random
import tempfile
import threading
from dataclasses import replace

import pytest

import visprep
from conftest import tree
from killing import kill_at_work
from killing import visprep as visprep_process
from s3_door import Door, error
from test_publish import body, keys
from visprep import errors
from visprep.digests import digest_of
from visprep.settings import S3Settings
from visprep.stores import open_store
from visprep.stores.s3 import S3Store
from visprep.stores.swapping import swap
from visprep.stores.versions import Pointer, key_of
from visprep.wire import wait


@pytest.fixture
def place(tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    for number in range(5):
        (place / f"{number}.txt").write_text(f"first {number}")
    return place


@pytest.fixture
def url(bucket):
    return f"s3://{bucket}/sets/mine"


def write(place, words: str) -> None:
    for number in range(3):
        (place / f"{number}.txt").write_text(f"{words} {number}")


def pointer(url: str) -> Pointer:
    found = Pointer.load(body(f"{url}/current.json"), url)
    assert found
    return found


def words(url: str) -> str:
    return wait(open_store(url).read("0.txt")).decode().split()[0]


# -- swapping


@pytest.mark.parametrize("first", [True, False])
def test_of_two_that_publish_at_once_one_is_refused(place, url, s3_server, tmp_path, first):
    if not first:
        visprep.publish(place, url)
    write(place, "second")
    other = tmp_path / "other"
    other.mkdir()
    (other / "0.txt").write_text("other 0")
    published = []

    def another_one(seen):
        if seen.path.endswith("/current.json") and seen.method == "PUT" and not published:
            published.append(visprep.publish(other, url).version)

    with Door(s3_server, another_one) as door, pytest.raises(errors.ChangedMeanwhile):
        visprep.publish(place, url, s3=S3Settings(endpoint_url=door.url))
    assert (words(url), pointer(url).version.name) == ("other", published[0])
    assert visprep.publish(place, url).sent == 0
    assert words(url) == "second"


def test_an_answer_that_gets_lost(place, url, s3_server):
    """The first attempt works, its answer is lost, and the second finds the condition not to hold any more."""
    visprep.publish(place, url)
    write(place, "second")

    def lost(seen):
        if seen.path.endswith("/current.json") and seen.method == "PUT" and not lost.done:
            lost.done = True
            door.forward(seen)
            return error(500, "InternalError")
        return None

    lost.done = False
    with Door(s3_server, lost) as door:
        result = visprep.publish(place, url, s3=S3Settings(endpoint_url=door.url))
    assert lost.done
    assert (words(url), pointer(url).version.name) == ("second", result.version)


@pytest.mark.parametrize("answer", ["ignores", "501", "400"])
def test_a_server_without_conditional_writes(run, place, url, s3_server, answer):
    def old(seen):
        if seen.method == "PUT" and ("if-match" in seen.headers or "if-none-match" in seen.headers):
            if answer != "ignores":
                return error(int(answer), "NotImplemented" if answer == "501" else "InvalidArgument")
            for name in ("if-match", "if-none-match"):
                seen.headers.pop(name, None)
        return None

    with Door(s3_server, old) as door:
        for words_ in ("first", "second"):
            write(place, words_)
            ended = run("publish", place, url, "--endpoint-url", door.url)
            assert ended.code == 0
            assert "no conditional writes" in ended.err
            assert words(url) == words_
        told = json.loads(run("publish", "--rollback", url, "--endpoint-url", door.url, "--json").out)
        assert (told["guarded"], words(url)) == (False, "first")


def test_without_conditional_writes_the_other_is_seen_at_least_before(place, url):
    visprep.publish(place, url)
    store = S3Store(url)
    with pytest.raises(errors.ChangedMeanwhile):
        wait(swap(store, pointer(url), '"anything else"', guarded=False))


# -- back


def test_rollback(run, place, url):
    versions = []
    for word in ("first", "second", "third"):
        write(place, word)
        versions.append(visprep.publish(place, url).version)
    assert run("publish", "--rollback", url, "--dry-run").code == 0
    assert words(url) == "third"
    ended = run("publish", "--rollback", url)
    assert (ended.code, words(url)) == (0, "second")
    assert versions[1] in ended.err
    assert visprep.publish(url, rollback=True).version == versions[0]
    refused = run("publish", "--rollback", url)
    assert (refused.code, words(url)) == (2, "first")
    assert [one.name for one in pointer(url).withdrawn] == [versions[1], versions[2]]
    write(place, "fourth")
    visprep.publish(place, url)
    assert visprep.publish(url, rollback=True).version == versions[0]


# -- pruning


def test_prune_leaves_what_was_replaced_not_long_ago(run, place, url):
    visprep.publish(place, url)
    write(place, "second")
    visprep.publish(place, url)
    before = keys(url)
    ended = json.loads(run("publish", "--prune", url, "--json").out)
    assert (ended["deleted"], ended["deleted_files"], len(ended["kept"]), keys(url)) == ([], 0, 2, before)


def test_prune_deletes_what_nothing_else_names(run, place, url):
    versions = []
    for word in ("first", "second", "third"):
        write(place, word)
        versions.append(visprep.publish(place, url).version)
    visprep.publish(url, rollback=True)
    before = keys(url)
    wait(S3Store(url).write("versions/20200101T000000Z-01234567/manifest.jsonl", b"left behind"))
    dry = run("publish", "--prune", "--older-than", "0s", url, "--dry-run")
    assert (dry.code, set(keys(url)) - set(before)) == (
        0,
        {"versions/20200101T000000Z-01234567/manifest.jsonl"},
    )
    assert "would be deleted" in dry.err
    # A moment must pass: what is as young as the limit stays
    threading.Event().wait(1.1)
    told = json.loads(run("publish", "--prune", "--older-than", "0s", url, "--json").out)
    assert set(told["deleted"]) == {versions[0], versions[2]}
    assert told["kept"] == [versions[1]]
    after = keys(url)
    assert set(after) < set(before)
    assert not any(versions[0] in key or versions[2] in key or "01234567" in key for key in after)
    assert sum(key.startswith("files/") for key in after) == 5
    assert pointer(url).versions == (pointer(url).version,)
    assert pointer(url).pruning == ""
    assert len(set(before) - set(after)) + 1 == told["deleted_files"]
    assert {file.path for file in open_store(url).list()} == {f"{number}.txt" for number in range(5)}
    assert [wait(open_store(url).read(f"{number}.txt")).decode() for number in (0, 4)] == ["second 0", "first 4"]


def test_a_publish_that_relies_on_what_is_pruned_is_refused(place, url, s3_server):
    """It saw, before the prune, that files are there which no version names any more."""
    visprep.publish(place, url)
    first = tree(place)
    write(place, "second")
    visprep.publish(place, url)
    threading.Event().wait(1.1)
    for path, data in first.items():
        (place / path).write_bytes(data)

    def prune_first(seen):
        if "/versions/" in seen.path and seen.method == "PUT" and not prune_first.done:
            prune_first.done = True
            assert visprep.publish(url, prune=True, older_than="0s").deleted_files

    prune_first.done = False
    with Door(s3_server, prune_first) as door, pytest.raises(errors.ChangedMeanwhile):
        visprep.publish(place, url, s3=S3Settings(endpoint_url=door.url))
    assert words(url) == "second"
    assert visprep.publish(place, url).sent == 3
    assert [wait(open_store(url).read(path)) for path in first] == list(first.values())


@pytest.mark.parametrize("guarded", [True, False])
def test_a_publish_that_relies_on_left_overs_that_are_pruned_is_refused(place, url, s3_server, guarded):
    """No version goes, only files of a publish that was killed: what `current.json` says is then as it was."""
    visprep.publish(place, url)
    write(place, "second")
    digests = {path: digest_of(data) for path, data in tree(place).items()}
    for path, data in tree(place).items():
        wait(S3Store(url).write(key_of(path, digests[path]), data))
    threading.Event().wait(1.1)

    def prune_first(seen):
        if not guarded:
            for name in ("if-match", "if-none-match"):
                seen.headers.pop(name, None)
        if "/versions/" in seen.path and seen.method == "PUT" and not prune_first.pruned:
            prune_first.pruned.append(visprep.publish(url, prune=True, older_than="0s"))

    prune_first.pruned = []
    with Door(s3_server, prune_first) as door, pytest.raises(errors.ChangedMeanwhile):
        visprep.publish(place, url, s3=S3Settings(endpoint_url=door.url))
    assert (prune_first.pruned[0].deleted, prune_first.pruned[0].deleted_files) == ((), 3)
    assert words(url) == "first"
    assert visprep.publish(place, url).sent == 3
    assert words(url) == "second"


def test_nobody_publishes_while_a_prune_is_under_way(run, place, url, s3_server):
    visprep.publish(place, url)
    write(place, "second")
    visprep.publish(place, url)
    threading.Event().wait(1.1)
    write(place, "third")
    seen_busy = []

    def meanwhile(seen):
        if seen.method == "DELETE" and not seen_busy:
            seen_busy.append(run("publish", place, url))
            return error(403, "AccessDenied")
        return None

    with Door(s3_server, meanwhile) as door, pytest.raises(errors.Incomplete):
        visprep.publish(url, prune=True, older_than="0s", s3=S3Settings(endpoint_url=door.url))
    assert seen_busy[0].code == 3
    assert "[place-busy]" in seen_busy[0].err
    assert words(url) == "second"
    assert run("publish", place, url).code == 3  # until it was ended
    assert run("publish", "--prune", "--older-than", "0s", url).code == 0
    assert run("publish", place, url).code == 0
    assert words(url) == "third"


def test_a_second_prune_does_not_take_over_one_that_is_under_way(run, place, url, s3_server):
    """With a greater age it would end first, and who publishes then would count on what the first still deletes."""
    visprep.publish(place, url)
    write(place, "second")
    visprep.publish(place, url)
    threading.Event().wait(1.1)
    second = []

    def meanwhile(seen):
        if seen.method == "DELETE" and not second:
            second.append(None)
            second[0] = run("publish", "--prune", url)

    with Door(s3_server, meanwhile) as door:
        told = visprep.publish(url, prune=True, older_than="0s", s3=S3Settings(endpoint_url=door.url))
    assert (second[0].code, "[place-busy]" in second[0].err, "minutes" in second[0].err) == (3, True, True)
    assert (told.deleted_files > 0, pointer(url).pruning) == (True, "")


def test_a_prune_that_was_killed_can_be_ended_after_a_while(run, place, url, s3_server):
    version = visprep.publish(place, url).version
    store = S3Store(url)
    wait(swap(store, replace(pointer(url), pruning="killed"), keys(url)["current.json"], guarded=True))
    assert run("publish", place, url).code == 3
    assert run("publish", "--prune", url).code == 3

    def later(seen):
        status, headers, content = door.forward(seen)
        long_ago = "Thu, 01 Jan 2026 00:00:00 GMT"
        return status, {k: long_ago if k.lower() == "last-modified" else v for k, v in headers.items()}, content

    with Door(s3_server, later) as door:
        assert run("publish", "--prune", url, "--endpoint-url", door.url).code == 0
    assert (pointer(url).pruning, pointer(url).version.name) == ("", version)
    assert run("publish", place, url).code == 0


# -- never a mix


def test_who_reads_while_others_publish_sees_one_version_whole(place, url, tmp_path):
    rounds = 12
    visprep.publish(place, url)
    stop, failures, seen = threading.Event(), [], set()

    def read(number: int) -> None:
        turn = 0
        while not stop.is_set() or turn < 2:
            turn += 1
            try:
                if number == 0:
                    visprep.download(url, output=tmp_path / f"copy-{turn}")
                    copied = tree(tmp_path / f"copy-{turn}")
                    texts = [copied[f"{name}.txt"].decode() for name in range(3)]
                else:
                    store = open_store(url)
                    texts = [wait(store.read(f"{name}.txt")).decode() for name in range(3)]
            except Exception as problem:
                failures.append(problem)
                return
            if len({text.rpartition(" ")[0] for text in texts}) != 1:
                failures.append(texts)
            seen.add(texts[0])

    readers = [threading.Thread(target=read, args=(number,)) for number in range(3)]
    for reader in readers:
        reader.start()
    for number in range(rounds):
        write(place, f"round {number}")
        visprep.publish(place, url)
    stop.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert len(seen) > 1


def test_a_kill_leaves_a_version_whole(place, url):
    """Killed at any moment, the version before counts, or the new one; the next run sends what is missing."""
    visprep.publish(place, url)
    for number in range(100):
        (place / f"more-{number}.txt").write_text(f"more {number}")

    rng, killed, started = random.Random(7), 0, len(keys(url))
    for number in range(4):
        write(place, f"round-{number}")
        before = len(keys(url))
        process = visprep_process("publish", place, url)
        killed += kill_at_work(process, lambda before=before: len(keys(url)) > before, rng.uniform(0, 0.1))
        store = open_store(url)
        texts = {wait(store.read(f"{name}.txt")).decode().split()[0] for name in range(3)}
        assert len(texts) == 1
        assert texts <= {"first", *(f"round-{one}" for one in range(number + 1))}
    assert killed
    assert len(keys(url)) > started
    visprep.publish(place, url)
    assert {file.path for file in open_store(url).list()} == {path.name for path in place.glob("*.txt")}
    assert words(url) == "round-3"


def test_what_a_killed_publish_left_among_temporary_files_goes(place, url, tmp_path, monkeypatch, s3_server):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    left, mine = (tmp_path / "temporary" / name for name in ("visprep-held-publish-left", "visprep-else"))
    for folder in (left, mine):
        (folder / "annotations").mkdir(parents=True)
        os.utime(folder, (0, 0))
    during = []

    def look(seen):
        if seen.method == "PUT" and not during:
            during.append(None)
            for path in left.parent.iterdir():
                os.utime(path, (0, 0))
            visprep.publish(place, f"{url}-2")  # another one leaves alone what is in use
            during.extend(path.name for path in left.parent.iterdir())

    with Door(s3_server, look) as door:
        visprep.publish(place, url, s3=S3Settings(endpoint_url=door.url))
    assert (len(during), left.exists()) == (3, False)
    assert list(left.parent.iterdir()) == [mine]
