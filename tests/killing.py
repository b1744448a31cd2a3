"""Killing the command line at random moments, again and again, until it has ended by itself."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time

from forked import forked
from visprep.stores import PART_SUFFIX


def visprep(*argv, cwd=None):
    """The command line as a process to be killed, which begins its work at once."""
    return forked("from visprep.cli import main; main()", *argv, cwd=cwd)


def visprep_itself(*argv):
    """The same, started as people start it."""
    return subprocess.Popen(
        [sys.executable, "-m", "visprep", *map(str, argv)], stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )


def kill_at_work(process, at_work, seconds):
    """Kill a process so many seconds after it has begun to change the place, unless it ends before."""
    while process.poll() is None and not at_work():
        time.sleep(0.002)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL and at_work()


def leftovers(place):
    return list(place.rglob(f"*{PART_SUFFIX}")) + list(place.glob(".visprep/in-progress"))


def random_kills(command, at_work, check, seed, *, tries, longest, least=1):
    """Run `command(round)` again and again, killed at random moments of its work; when it ends by itself: next round.

    At least `least` kills leave the place in the middle of a change, of `tries` or of as many more. One that came too
    late makes the next ones come sooner, since machines differ. Each round has a place of its own: where all is done,
    nothing can be killed.
    """
    rng, rounds, killed, tried = random.Random(seed), 0, 0, 0
    while tried < tries or (killed < least and tried < tries + 12):
        tried += 1
        process = visprep(*command(rounds))
        killed += kill_at_work(process, lambda number=rounds: at_work(number), rng.uniform(0, longest))
        if process.returncode == 0:
            check(rounds)
            rounds += 1
            longest /= 4
    ended = visprep_itself(*command(rounds))
    _, words = ended.communicate(timeout=100)
    assert ended.returncode == 0, words
    check(rounds)
    assert killed >= least, f"{killed} of {tried} kills came in the middle of the work"


def kill_count(normal):
    """`make soak` sets how often the random tests kill."""
    return int(os.environ.get("VISPREP_KILLS", normal))
