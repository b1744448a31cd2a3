"""Work that tests hand to engines: functions of a module, since workers import it."""

import os
import random
import signal
import time
from pathlib import Path

from visprep.engines.processes import Processes
from visprep.errors import FileMissing, ServerFailed


class Counted(Processes):
    """An engine that counts the lists of work that it was given."""

    lists = 0

    def map(self, *words, **named):
        """See `Processes`."""
        self.lists += 1
        return super().map(*words, **named)


def squares(items):
    return [item * item for item in items]


def squares_slowly(items):
    time.sleep(0.2)
    return squares(items)


def where(items):
    return [os.getpid()] * len(items)


def deadly(items):
    """13 kills whoever touches it."""
    if 13 in items:
        os.kill(os.getpid(), signal.SIGKILL)
    return squares(items)


def deadly_once(file, items):
    """The first worker that comes by dies."""
    try:
        Path(file).touch(exist_ok=False)
    except FileExistsError:
        return squares(items)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("it was killed")


def missing(items):
    if 13 in items:
        raise FileMissing("13 is missing", hint="bring it")
    return squares(items)


def mistaken(items):
    return [1 // item for item in items]


def failing(file, often, items):
    """The network fails so often; the last number that Python's own generator would give."""
    with Path(file).open("a") as lines:
        lines.write("tried\n")
    tried = len(Path(file).read_text().splitlines())
    if tried == 1:
        random.seed(1)
    if tried <= often:
        raise ServerFailed("503")
    return [random.random() for _ in items]


def asleep(directory, items):
    """Tell which process this is, and sleep long."""
    (Path(directory) / str(os.getpid())).touch()
    time.sleep(600)
    return list(items)


class _Lingering:
    def __init__(self, directory):
        self.directory = directory

    def __del__(self):
        asleep(self.directory, ())


def asleep_in_a_destructor(directory, items):
    """Sleep where no exception can be raised."""
    _Lingering(directory)
    return list(items)


def held(directory, items):
    """Wait until a file called `go` is there; the node is told by the process of its raylet."""
    (Path(directory) / f"{items[0]}-{os.getppid()}").touch()
    while not (Path(directory) / "go").exists():
        time.sleep(0.02)
    return squares(items)
