"""Logs and metrics of a training: written line by line, sent piece by piece, put together again."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time

import numpy as np
import pytest

from run_files import EMPTY, names, pulled
from s3_door import Door
from visprep.errors import DiskFull, UsageError, WouldOverwrite
from visprep.manifest import File
from visprep.runs.local_logs import RunLog, new_start
from visprep.runs.log_names import in_order
from visprep.runs.log_pieces import TAIL, LogShipper
from visprep.runs.reading_logs import LogReader
from visprep.settings import S3Settings
from visprep.stores.local import LocalStore
from visprep.stores.s3 import S3Store
from visprep.wire import wait

PATH = "logs/exp"
A, B, C = "20260101-000000-aaaa", "20260102-000000-bbbb", "20260103-000000-cccc"


@pytest.fixture
def local(tmp_path):
    return tmp_path / "runs" / PATH


@pytest.fixture
def place(tmp_path):
    return LocalStore(tmp_path / "place")


@pytest.fixture
def at(tmp_path):
    return tmp_path / "place" / PATH


def logger_of(log, level=logging.INFO):
    logger = logging.Logger("train")
    logger.addHandler(log.handler(level))
    return logger


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def whole_log(at, start):
    return b"".join(path.read_bytes() for path in sorted(at.glob(f"training_{start}_*.log")))


def test_what_a_line_looks_like(local):
    log = RunLog(local, A)
    logger = logger_of(log)
    logger.debug("not this")
    logger.warning("loss %.2f \ud800 ü", 0.5)
    logging.Logger("visprep.wire").addHandler(log.handler())
    line = (local / f"training_{A}.log").read_text()
    assert line.endswith(" WARNING train: loss 0.50 \\ud800 ü\n")
    assert len(line.splitlines()) == 1
    log.close()
    logger.info("after")  # what still comes is not lost
    assert len((local / f"training_{A}.log").read_text().splitlines()) == 2
    log.close()


def test_requests_are_not_logged(local):
    """A log that is sent would speak of its own sending for ever."""
    log = RunLog(local, A)
    wire = logging.Logger("visprep.wire")
    wire.addHandler(log.handler())
    wire.info("GET ...")
    assert names(local.parent) == []
    wire.warning("slow")
    assert len((local / f"training_{A}.log").read_text().splitlines()) == 1
    log.close()


def test_starts_sort_by_time():
    """Also those within one second, as in a notebook whose cells are run twice."""
    starts = []
    for _ in range(5):
        starts.append(new_start())
        time.sleep(0.002)
    assert starts == sorted(starts)
    assert len({start[:18] for start in starts}) == 5
    assert len(in_order(File(f"training_{start}_000000.log", 1) for start in starts)) == 5


def test_lines_of_threads_and_forks_do_not_mix(local):
    log = RunLog(local, A)
    logger = logger_of(log)

    def talk(name):
        for at in range(200):
            logger.info("%s %d %s", name, at, name * 50)

    threads = [threading.Thread(target=talk, args=(name,)) for name in "ab"]
    child = os.fork()
    if child == 0:
        talk("c")
        os._exit(0)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert os.waitpid(child, 0)[1] == 0
    log.close()
    said = [line.split(": ", 1)[1].split() for line in (local / f"training_{A}.log").read_text().splitlines()]
    assert sorted((name, int(at)) for name, at, _ in said) == [(name, at) for name in "abc" for at in range(200)]
    assert all(text == name * 50 for name, _, text in said)


def test_metrics_are_numbers(local):
    log = RunLog(local, A)
    log.log_metrics({"loss": np.float32(0.5), "lr": 1, "ok": True, "bad": float("nan"), "one": np.array([2.0])}, 7)
    for wrong in ({"loss": "low"}, {"loss": None}, {"loss": np.zeros(2)}, {"step": 3}):
        with pytest.raises(UsageError):
            log.log_metrics(wrong, 8)
    log.close()
    (line,) = lines(local / f"metrics_{A}.jsonl")
    assert line.pop("logged_at") > 1.7e9
    assert line == {"step": 7, "loss": 0.5, "lr": 1, "ok": 1, "bad": None, "one": 2.0}


def test_a_full_disk_ends_no_training(small_disk):
    """No line stays in half, the log goes on when there is room again, and who asks hears of it."""
    log = RunLog(small_disk, A)
    logger = logger_of(log)
    filler = small_disk / "filler"
    logger.info("first")
    log.log_metrics({"loss": 1.0}, 0)
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))
    for _ in range(200):
        logger.info("x" * 100)
    with pytest.raises(DiskFull):
        all(log.log_metrics({"loss": 1.0}, step) is None for step in range(200))
    assert isinstance(log.failed, DiskFull)
    filler.unlink()
    logger.info("last")
    log.log_metrics({"loss": 2.0}, 999)
    log.close()
    text = (small_disk / f"training_{A}.log").read_text()
    assert text.endswith("train: last\n")
    assert all(" INFO train: " in line for line in text.splitlines())
    assert lines(small_disk / f"metrics_{A}.jsonl")[-1]["step"] == 999


def test_pieces_of_new_lines(local, bucket, tmp_path):
    store = S3Store(f"s3://{bucket}/runs")
    shipper, log = LogShipper(local, store, PATH), RunLog(local, A)
    assert shipper.ship() == 0
    logger = logger_of(log)
    for epoch in range(4):
        logger.info("epoch %d", epoch)
        log.log_metrics({"loss": 1 / (1 + epoch)}, epoch)
        assert shipper.ship() > 0
        assert shipper.ship() == 0
        there = pulled(store, tmp_path / "pulled") / PATH
        assert len(lines(there / "metrics.jsonl")) == epoch + 1
        assert (there / "training_latest.log").read_text().splitlines()[-1].endswith(f"epoch {epoch}")
    log.close()
    shipper.ship(whole=True)
    assert shipper.ship(whole=True) == 0
    assert LogShipper(local, store, PATH).ship(whole=True) == 0
    there = pulled(store, tmp_path / "pulled") / PATH
    assert names(there) == sorted(
        [f"metrics_{A}_{n:06d}.jsonl" for n in range(4)]
        + [f"training_{A}_{n:06d}.log" for n in range(4)]
        + ["metrics.jsonl", "training_latest.log"]
    )
    log_bytes = (local / f"training_{A}.log").read_bytes()
    assert whole_log(there, A) == log_bytes == (there / "training_latest.log").read_bytes()
    assert (there / "metrics.jsonl").read_bytes() == (local / f"metrics_{A}.jsonl").read_bytes()


def test_half_a_line_waits_until_the_end(local, place, at):
    local.mkdir(parents=True)
    shipper, file = LogShipper(local, place, PATH), local / f"training_{A}.log"
    for text, sent in (("one\ntw", "one\n"), ("one\ntwo", "one\n"), ("one\ntwo\nthree", "one\ntwo\n")):
        file.write_text(text)
        shipper.ship()
        assert whole_log(at, A).decode() == (at / "training_latest.log").read_text() == sent
    shipper.ship(whole=True)
    assert whole_log(at, A).decode() == (at / "training_latest.log").read_text() == "one\ntwo\nthree"
    file.write_text("one\ntwo\nthree and more\n")  # nobody should, but it loses nothing
    shipper.ship(whole=True)
    assert whole_log(at, A).decode() == (at / "training_latest.log").read_text() == "one\ntwo\nthree and more\n"


def test_a_log_that_speaks_of_its_own_sending(local, bucket, s3_server):
    log = RunLog(local, A)
    logger = logger_of(log)

    def gossip(seen):
        logger.info("%s %s", seen.method, seen.path)

    logger.info("first")
    with Door(s3_server, gossip) as door:
        store = S3Store(f"s3://{bucket}/runs", S3Settings(endpoint_url=door.url))
        shipper = LogShipper(local, store, PATH)
        for _ in range(3):
            shipper.ship()
        shipper.ship(whole=True)
    log.close()
    assert len(door.seen) < 40
    assert sum(file.path.endswith(".log") for file in store.list()) == 5  # a piece for each time, and the latest


def test_a_long_log(local, bucket, tmp_path):
    """It goes in pieces of bounded size, one line longer than that included, and whole at the end."""
    local.mkdir(parents=True)
    data = b"".join(b"line %d of many\n" % number for number in range(600_000)) + b"y" * 3_000_000 + b"\n"
    (local / f"training_{A}.log").write_bytes(data)
    store = S3Store(f"s3://{bucket}/runs")
    assert LogShipper(local, store, PATH, piece=2_000_000).ship(whole=True) == 2 * len(data)
    there = pulled(store, tmp_path / "pulled") / PATH
    assert whole_log(there, A) == data == (there / "training_latest.log").read_bytes()
    assert len(names(there)) == 8
    assert LogShipper(local, store, PATH).ship(whole=True) == 0


def test_while_it_runs_only_the_last_lines_are_shown(local, place, at):
    shipper, log = LogShipper(local, place, PATH, piece=500), RunLog(local, A)
    logger = logger_of(log)
    for step in range(300):
        logger.info("step %d", step)
        log.log_metrics({"loss": 1.0}, step)
    shipper.ship()
    shown = (at / "training_latest.log").read_text().splitlines()
    assert f"training_{A}_000000.log" in shown[0]
    assert [line.split()[-1] for line in shown[1:]] == [str(step) for step in range(300 - len(shown) + 1, 300)]
    assert TAIL - 200 < (at / "training_latest.log").stat().st_size < TAIL + 200
    assert [line["step"] for line in lines(at / "metrics.jsonl")][-1] == 299
    assert len(lines(at / "metrics.jsonl")) < 300
    log.close()
    shipper.ship(whole=True)
    assert len((at / "training_latest.log").read_text().splitlines()) == 300
    assert [line["step"] for line in lines(at / "metrics.jsonl")] == list(range(300))


def test_bytes_are_linear_in_what_was_logged(local):
    """1,000 flushes: each byte goes once, and with each flush the last lines; at the end all of it once more."""
    bodies = {}

    def answer(seen):
        if seen.method == "PUT":
            bodies.setdefault(seen.path.rpartition("/")[2], []).append(len(seen.body))
            return 200, {"ETag": '"e"'}, b""
        return (404, {}, b"") if seen.method == "HEAD" else (200, {}, EMPTY)

    log, sent = RunLog(local, A), 0
    logger = logger_of(log)
    with Door(answer=answer) as door:
        settings = S3Settings(endpoint_url=door.url, access_key="A", secret_key="S")
        shipper = LogShipper(local, S3Store("s3://bucket/p", settings), PATH)
        for step in range(1000):
            logger.info("step %d: %s", step, "x" * 100)
            sent += shipper.ship()
        log.close()
        size = (local / f"training_{A}.log").stat().st_size
        running = sum(map(sum, bodies.values()))
        assert running == sent
        assert sum(map(sum, (value for name, value in bodies.items() if name != "training_latest.log"))) == size
        assert running < 10 * size  # to send all of it each time would be 500 times its size
        assert shipper.ship(whole=True) == size
        assert sum(map(sum, bodies.values())) == sent + size


def test_a_new_start_on_another_machine(tmp_path, bucket):
    """The newest start's log is the latest; the metrics are those of all; what another machine left half is kept."""
    store = S3Store(f"s3://{bucket}/runs")
    first, second = tmp_path / "one" / PATH, tmp_path / "two" / PATH
    log = RunLog(first, A)
    logger_of(log).info("first")
    log.log_metrics({"loss": 3.0}, 1)
    log.log_metrics({"loss": 2.0}, 2)
    shipper = LogShipper(first, store, PATH)
    shipper.ship()
    log.log_metrics({"loss": 1.0}, 3)
    log.close()
    with (first / f"metrics_{A}.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')  # killed here, and the machine is gone
    again = RunLog(second, B)
    logger_of(again).info("second")
    again.log_metrics({"loss": 2.5}, 3)
    again.close()
    LogShipper(second, store, PATH).ship(whole=True)
    there = pulled(store, tmp_path / "pulled") / PATH
    assert (there / "training_latest.log").read_text().endswith("second\n")
    assert [(line["step"], line["loss"]) for line in lines(there / "metrics.jsonl")] == [(1, 3.0), (2, 2.0), (3, 2.5)]
    # The first machine comes back and pushes what it has: all is there, and the latest log stays that of the second
    LogShipper(first, store, PATH).ship(whole=True)
    there = pulled(store, tmp_path / "pulled") / PATH
    assert (there / "training_latest.log").read_text().endswith("second\n")
    assert [line["loss"] for line in lines(there / "metrics.jsonl")] == [3.0, 2.0, 1.0, 2.5]
    text = b"".join(LogReader(store, PATH).new()).decode()
    assert [line.split()[-1] for line in text.splitlines()] == ["first", "second"]


@pytest.mark.parametrize("dropped", [[0], [0, 1], [1], [0, 1, 2]])
@pytest.mark.parametrize("all_sent", [True, False])
def test_a_rule_drops_old_pieces(local, bucket, dropped, all_sent):
    """What was sent whole, once, is left in peace; of what was not, nobody can tell any more what is missing."""
    store = S3Store(f"s3://{bucket}/runs")
    log, shipper = RunLog(local, A), LogShipper(local, store, PATH)
    for step in range(4):
        logger_of(log).info("%d", step)
        if step < 3 or all_sent:
            shipper.ship()
    log.close()
    if all_sent:
        dropped = [*dropped, 3] if dropped == [0, 1, 2] else dropped
    for number in dropped:
        wait(store.delete(f"{PATH}/training_{A}_{number:06d}.log"))
    again, later = RunLog(local, B), LogShipper(local, store, PATH)
    logger_of(again).info("again")
    again.close()
    everything_gone = len(dropped) == 3 + all_sent
    if everything_gone or (all_sent and dropped != [1]):
        assert later.ship(whole=True) > 0
    else:
        with pytest.raises(WouldOverwrite):
            later.ship(whole=True)
    there = [file.path for file in store.list()]
    assert f"{PATH}/training_{B}_000000.log" in there
    assert sum(f"training_{A}" in path for path in there) == (1 if everything_gone else 3 + all_sent - len(dropped))


def test_where_the_place_is_the_directory(tmp_path):
    """Nothing is sent: the log has its other name too, and the metrics of all starts stand in one file."""
    place, at = LocalStore(tmp_path), tmp_path / PATH
    for number, start in enumerate((A, B)):
        log, shipper = RunLog(at, start), LogShipper(at, place, PATH)
        logger = logger_of(log)
        for step in range(5):
            logger.info("%s %d", start, step)
            log.log_metrics({"loss": 0.5}, step)
            assert shipper.ship() == 0
            assert (at / "training_latest.log").read_bytes() == (at / f"training_{start}.log").read_bytes()
            assert len(lines(at / "metrics.jsonl")) == 5 * number + step + 1
        if start == A:
            with (at / f"metrics_{A}.jsonl").open("a") as file:
                file.write("{")
        else:
            assert shipper.ship(whole=True) == 0
        log.close()
    assert [line["step"] for line in lines(at / "metrics.jsonl")] == [*range(5), *range(5)]
    assert names(at) == sorted(
        [f"{kind}_{start}{end}" for kind, end in (("metrics", ".jsonl"), ("training", ".log")) for start in (A, B)]
        + ["metrics.jsonl", "training_latest.log"]
    )
    text = b"".join(LogReader(place, PATH).new()).decode()
    assert len(text.splitlines()) == 10


def test_a_directory_is_pushed_and_pulled_and_pushed(tmp_path, bucket):
    """Whole logs become pieces at their new place, pieces stay what they are."""
    home = tmp_path / "home" / PATH
    for start in (A, B):
        log = RunLog(home, start)
        logger_of(log).info("%s", start)
        log.log_metrics({"loss": 0.5}, 1)
        log.close()
    store, other = S3Store(f"s3://{bucket}/runs"), S3Store(f"s3://{bucket}/other")
    LogShipper(home, store, PATH).ship(whole=True)
    there = pulled(store, tmp_path / "pulled") / PATH
    LogShipper(there, other, PATH).ship(whole=True)
    again = pulled(other, tmp_path / "again") / PATH
    assert {name: (again / name).read_bytes() for name in names(again)} == {
        name: (there / name).read_bytes() for name in names(there)
    }
    assert len(names(again)) == 6
    (there / f"training_{A}_000000.log").write_text("other words\n")
    with pytest.raises(WouldOverwrite):
        LogShipper(there, other, PATH).ship()


@pytest.mark.parametrize("whole", [False, True], ids=["pieces", "whole logs"])
def test_following_a_log(local, place, tmp_path, whole):
    source = LocalStore(tmp_path / "runs") if whole else place
    reader, log = LogReader(source, PATH), RunLog(local, A)
    metrics = LogReader(source, PATH, "metrics")
    assert list(reader.new()) == []
    shipper, logger = LogShipper(local, place, PATH, piece=150), logger_of(log)
    for step in range(20):
        logger.info("%d", step)
        log.log_metrics({"loss": 0.5}, step)
        if step % 5 == 4:
            shipper.ship()
            said = b"".join(reader.new()).decode().splitlines()
            assert [int(line.split()[-1]) for line in said] == list(range(step - 4, step + 1))
            assert len(b"".join(metrics.new()).splitlines()) == 5
            assert list(reader.new()) == []
    log.close()
    again = RunLog(local, C)
    logger_of(again).info("resumed")
    again.close()
    shipper.ship(whole=True)
    assert b"".join(reader.new()).endswith(b"resumed\n")


def test_the_order_of_names():
    given = [
        f"training_{B}_000010.log", f"training_{B}_000009.log", f"training_{B}_1000000.log", f"training_{A}.log",
        f"training_{A}_000000.log", "training_latest.log", "metrics.jsonl", f"metrics_{A}_000000.jsonl", "notes.log",
        f"training_{A}_000000.jsonl",
    ]  # fmt: skip
    pieces = in_order(File(path, 1) for path in given)
    assert [piece.file.path for piece in pieces] == [
        f"training_{A}.log", f"training_{B}_000009.log", f"training_{B}_000010.log", f"training_{B}_1000000.log",
    ]  # fmt: skip
