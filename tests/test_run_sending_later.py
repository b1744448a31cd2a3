"""What is noted of checkpoints that are meant for another place, and how they get there."""

import pytest

from visprep import errors
from visprep.digests import digest_of
from visprep.runs.checkpoints import Checkpoint, read_index
from visprep.runs.committing import Committer
from visprep.runs.layout import RunLayout, named
from visprep.runs.sending_later import SendingLater, push
from visprep.stores.local import LocalStore
from visprep.wire import wait

LAYOUT = RunLayout()


@pytest.fixture
def origin(tmp_path):
    return LocalStore(tmp_path / "origin")


@pytest.fixture
def target(tmp_path):
    return LocalStore(tmp_path / "target")


def committer(store, **options):
    return Committer(store, LAYOUT, "one", writer=f"the writer of {store.place}", **options)


def saved(store, step, minute, *, best=False, by=None):
    """A checkpoint that was saved at such a minute, of bytes that tell its step."""
    by, data = by or committer(store, keep_last=None), f"step {step}".encode()
    path = by.new_path(step)
    wait(store.write(path, data))
    sha256 = digest_of(data).removeprefix("sha256:")
    when = f"2026-11-22T05:{minute:02}:00.000000Z"
    one = Checkpoint("one", path, step, None, len(data), sha256, when, best=best, writer="me")
    return by.commit(one)


def steps(store):
    return [one.step for one in read_index(store, LAYOUT, "one")[0].checkpoints]


def pushed(origin, target, **options):
    keep = {"keep_last": options.pop("keep_last", None)}
    result = push(origin, target, LAYOUT, "one", committer=committer(target, **keep), **keep, **options)
    return [one.step for one in result.sent]


def test_each_is_sent_once_and_takes_its_place_by_time(origin, target):
    for step, minute in ((1, 1), (3, 3), (5, 5)):
        saved(origin, step, minute)
    by = committer(target, keep_last=None)
    saved(target, 2, 2, by=by)
    saved(target, 4, 4, by=by)
    done = []
    assert pushed(origin, target, done=done.append) == [1, 3, 5]
    assert [one.step for one in done] == [1, 3, 5]
    assert steps(target) == [1, 2, 3, 4, 5]
    assert pushed(origin, target, done=done.append) == []
    assert [one.step for one in done] == [1, 3, 5] * 2
    for one in read_index(target, LAYOUT, "one")[0].checkpoints:
        assert wait(target.read(one.path)) == f"step {one.step}".encode()


def test_what_would_go_at_once_is_not_sent_but_done(origin, target):
    for step in range(6):
        saved(origin, step, step, best=step == 1)
    done = []
    assert pushed(origin, target, keep_last=2, done=done.append) == [1, 4, 5]
    assert len(done) == 6
    assert steps(target) == [1, 4, 5]


def test_only_what_is_asked_for_is_sent(origin, target):
    first, second = saved(origin, 1, 1), saved(origin, 2, 2)
    assert pushed(origin, target, only=[second.path]) == [2]
    assert pushed(origin, target, only=[first.path, "checkpoints/one/gone.pt"]) == [1]


def test_damaged_it_is_not_named(origin, target):
    saved(origin, 1, 1)
    damaged = saved(origin, 2, 2)
    (origin.root / damaged.path).write_bytes(b"step 3")
    saved(origin, 3, 3)
    with pytest.raises(errors.WrongContent):
        pushed(origin, target)
    assert steps(target) == [1]
    told = []
    assert pushed(origin, target, damaged=lambda one, error: told.append((one.step, error.slug))) == [3]
    assert told == [(2, "wrong-content")]
    assert steps(target) == [1, 3]


def test_one_that_is_gone_while_it_is_named_is_told(origin, target):
    gone = saved(origin, 1, 1)
    (origin.root / gone.path).unlink()
    with pytest.raises(errors.FileMissing):
        pushed(origin, target)
    told = []
    assert pushed(origin, target, damaged=lambda one, error: told.append(error.slug)) == []
    assert told == ["file-missing"]


def test_notes_of_several_places_do_not_mix_and_outlive_the_process(origin):
    def note(place):
        return SendingLater(origin, LAYOUT, "one", place)

    first, second = note("s3://bucket/first"), note("s3://bucket/second")
    first.add("a")
    first.add("b")
    first.add("a")
    second.add("c")
    assert note("s3://bucket/first").paths == first.paths == ("a", "b")
    assert note("s3://bucket/second").paths == ("c",)
    again = note("s3://bucket/first")
    again.discard(["a", "unknown"])
    assert note("s3://bucket/first").paths == ("b",)
    again.discard(["b"])
    assert note("s3://bucket/second").paths == ("c",)
    note("s3://bucket/second").discard(["c"])
    assert not (origin.root / "checkpoints/one/sending_later.json").exists()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"places": {"s3://bucket/x": 1}}', b"\xff"])
def test_a_note_that_cannot_be_read_counts_as_none(origin, damage):
    wait(origin.write("checkpoints/one/sending_later.json", damage))
    note = SendingLater(origin, LAYOUT, "one", "s3://bucket/x")
    assert note.paths == ()
    note.add("a")
    assert SendingLater(origin, LAYOUT, "one", "s3://bucket/x").paths == ("a",)


def test_what_is_about_to_be_sent_is_announced_first(origin, target):
    left = saved(origin, 1, 1)
    wait(origin.write(left.path, b"half"))  # so that it is never named there
    with pytest.raises(errors.WrongContent):
        pushed(origin, target)
    assert named(left.path).mark in read_index(target, LAYOUT, "one")[0].announced
