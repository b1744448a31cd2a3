"""What a training writes beside its checkpoints, and what is found of it at a place; also a training to be killed."""

from __future__ import annotations

import logging
import shutil
import sys
from pathlib import Path

from visprep.runs.event_files import EventShipper, version_record
from visprep.runs.local_logs import RunLog
from visprep.runs.log_pieces import LogShipper
from visprep.stores import open_store
from visprep.wire import wait

#: What S3 says of a prefix with nothing in it.
EMPTY = b'<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>'


class Writer:
    """What a training writes: TensorBoard's own writer."""

    def __init__(self, directory, suffix=""):
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer = EventFileWriter(str(directory), filename_suffix=suffix)

    def scalar(self, step, value, tag="loss"):
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        self._writer.add_event(Event(step=step, wall_time=1.7e9 + step, summary=summary))

    def text(self, step, size):
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.add_event(Event(step=step, wall_time=1.7e9 + step, graph_def=b"x" * size))

    def flush(self):
        self._writer.flush()

    def close(self):
        self._writer.close()


def scalars(directory, tag="loss"):
    """The scalars that TensorBoard finds."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(directory), size_guidance={"scalars": 0})
    found.Reload()
    return [(event.step, round(event.value, 3)) for event in found.Scalars(tag)]


def names(directory):
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


def joined(at, name):
    """All records of an event file, from its pieces: only the first one counts with its version."""
    pieces = [at / name, *sorted(at.glob(f"{name}.*"))]
    first = pieces[0].read_bytes()
    head = version_record(first)
    assert all(piece.read_bytes().startswith(first[:head]) for piece in pieces)
    return first + b"".join(piece.read_bytes()[head:] for piece in pieces[1:])


def pulled(store, directory):
    """A place as it is, on disk."""
    shutil.rmtree(directory, ignore_errors=True)
    for file in store.list():
        target = directory / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(wait(store.read(file.path)))
    return directory


def train(directory, place):
    """Log and send for ever; every line and event has a number of its own."""
    store = open_store(place)
    logs, events = Path(directory, "logs/exp"), Path(directory, "tensorboard/exp")
    log, writer = RunLog(logs), Writer(events)
    logger = logging.Logger("train")
    logger.addHandler(log.handler())
    shippers = (
        LogShipper(logs, store, "logs/exp", piece=2000),
        EventShipper(events, store, "tensorboard/exp", piece=2000),
    )
    step = 0
    while True:
        for _ in range(20):
            logger.info("%s %d", log.start, step)
            log.log_metrics({"loss": step / 2}, step)
            writer.scalar(step, step / 2)
            step += 1
        writer.flush()
        for shipper in shippers:
            shipper.ship()


if __name__ == "__main__":
    train(*sys.argv[1:])
