"""What a billion objects of a petabyte come to: the tables of docs/scale.md, from figures that were measured on less.

`python scripts/simulate_scale.py --plan` prints them. A figure is `measured` (here is where it stands, with the number
of names that it was measured at), `set` (a price or a limit, as others publish it, or a wish), or `computed` of those.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from visprep.manifest import File, entry_line
from visprep.traffic import LEAVING, LISTING, READING

OBJECTS, BYTES = 10**9, 10**15

#: Dollars for a request that writes, and for a GB that lies in S3 Standard for a month (in its first 50 TB), as those
#: of `visprep.traffic`.
WRITING, STORING = 0.005 / 1_000, 0.023
#: Names in a page of a listing; seconds that an answer takes, a guess; pages that one process asks for at once.
PAGE, ANSWER, AT_ONCE = 1_000, 0.1, 16
#: Parts of an upload at most, and requests that read, a second and prefix, from where S3 may say SlowDown.
PARTS, READS = 10_000, 5_500
#: What is there to work with: bits a second and bytes of memory of one machine, and machines.
WIRE, MEMORY, MACHINES = 10 * 10**9, 24 * 10**9, 64
#: Temporary disk, in bytes, and seconds that one process may take, where we say that something breaks.
ROOM, PATIENCE = 100 * 10**9, 3_600  # an hour
#: Lines in a shard of a manifest.
SHARD = 10**6
#: Bytes of an image that verify reads at headers in most cases, and its share of all bytes at most.
GLANCE, SHARE = 512, 0.02


@dataclass(frozen=True)
class Measured:
    """A step: the most names that it was measured at, the exponent of its seconds up to there, and what a name takes.

    That is microseconds of the processor, bytes of memory (what it grew by from a tenth of the names), and bytes on the
    temporary disk.
    """

    names: int
    exponent: float
    micros: float
    memory: float = 0.0
    disk: int = 0


#: Of `simulate_scale.py`; the listing is that of a server on loopback (`listed_names.py`), from 20,000 names.
STEPS = {
    "a listing over S3": Measured(200_000, 0.86, 5.1),
    "two lists compared": Measured(10**8, 0.98, 3.57),
    "a manifest written": Measured(10**8, 1.04, 3.38, 0, 190),
    "a manifest read": Measured(10**8, 1.01, 2.84, 0, 233),
    "a plan, all new": Measured(10**8, 0.98, 4.33, 0, 44),
    "a plan, all the same": Measured(10**8, 1.00, 11.3, 0, 56),
    "files sorted": Measured(10**8, 1.08, 12.4, 0, 143),
    "what listing and manifest tell `verify`": Measured(10**8, 1.03, 5.56, 144),
    "a manifest in memory": Measured(10**7, 1.05, 5.0, 362, 233),
}
#: Of `bench_scale.py`; from 10,000 records on, without the start of the command.
VERBS = {
    "`verify --depth names`": Measured(10**6, 1.07, 39, 833),
    "`verify --depth sizes`": Measured(10**6, 1.03, 43, 844),
    "`verify --depth headers`": Measured(10**5, 0.94, 94, 982),
    "`sync --dry-run` to a new place": Measured(10**6, 1.14, 29),
    "`split` of a COCO file": Measured(10**6, 0.93, 9.4, 494),
}
#: Microseconds of the processor for an object of 20 KB down from S3, with its SHA-256, and bytes a second of SHA-256.
OBJECT, HASHING = 58, 2.1e9
#: Bytes of XML in which a name of a listing comes.
XML = 234

SAMPLE = File(
    "train/00012/image-0000120345.jpg", BYTES // OBJECTS, f"sha256:{'0' * 64}", None, "0" * 32
)  # a name of simulate_scale.py
INDEX = {
    "name": "0" * 64, "first": SAMPLE.path, "last": SAMPLE.path, "files": SHARD, "bytes": SHARD * BYTES // OBJECTS,
    "size": SHARD * 190, "etag": "0" * 32,
}  # fmt: skip

Row = tuple[str, str, str]


def line() -> int:
    """Bytes of a line of a manifest on S3, as it is written today."""
    return len(entry_line(SAMPLE, etag=True))


def lasting(seconds: float) -> str:
    """A time in words."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:,.0f} seconds"


def amount(number: float) -> str:
    """Bytes in words."""
    for unit, size in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if number >= size:
            return f"{number / size:,.1f} {unit}".replace(".0 ", " ")
    return f"{number:,.0f} bytes"


def dollars(number: float) -> str:
    """Dollars."""
    return f"${number:,.0f}"


def processor(step: Measured) -> str:
    """The time of one processor for all objects."""
    return lasting(step.micros * OBJECTS / 1e6)


def listing() -> Iterator[Row]:
    """To list everything."""
    pages, step = OBJECTS // PAGE, STEPS["a listing over S3"]
    yield f"requests, {PAGE:,} names each", f"{pages:,}", "computed"
    yield "their price", dollars(pages * LISTING), "computed"
    yield f"one after the other, {ANSWER} s each", lasting(pages * ANSWER), "computed; the seconds are a guess"
    yield f"{AT_ONCE} at once, as one process asks", lasting(pages * ANSWER / AT_ONCE), "computed"
    yield "processor of one process", processor(step), f"{step.micros} µs a name, measured at {step.names:,}"
    apart = max(step.micros * OBJECTS / 1e6, pages * ANSWER / AT_ONCE) / MACHINES
    yield f"{MACHINES} processes, a range of names each", lasting(apart), "computed"
    yield "and requests a second then", f"{pages / apart:,.0f}", f"computed; S3 takes {READS:,} a prefix"
    yield "bytes of the answers", amount(OBJECTS * XML), f"{XML} bytes a name, measured"


def manifest() -> Iterator[Row]:
    """One manifest, as it is written today."""
    size, read, written = line() * OBJECTS, STEPS["a manifest read"], STEPS["a manifest written"]
    yield "a line", f"{line()} bytes", "computed, of a name of 32 letters with SHA-256 and ETag"
    yield "the file", amount(size), "computed"
    yield "least part of its upload", amount(size / PARTS), f"computed; S3 takes {PARTS:,} parts"
    yield f"through a wire of {WIRE // 10**9} Gbit/s", lasting(size * 8 / WIRE), "computed"
    yield "to read and check it", processor(read), f"{read.micros} µs a name, measured at {read.names:,}"
    yield "temporary disk for that", amount(read.disk * OBJECTS), f"{read.disk} bytes a name, measured"
    yield "to write it", processor(written), f"{written.micros} µs a name, measured at {written.names:,}"
    yield "to be written anew when one file changes", amount(size), "computed"


def shards() -> Iterator[Row]:
    """The same in shards, as it is not written yet."""
    count, read = OBJECTS // SHARD, STEPS["a manifest read"]
    index = len(json.dumps(INDEX)) + 1
    yield f"shards of {SHARD:,} lines", f"{count:,}", "set"
    yield "a shard", amount(line() * SHARD), "computed"
    yield "the index", amount(index * count), f"computed, {index} bytes a shard"
    changed = line() * SHARD + index * count
    yield "to be written anew when one file changes", amount(changed), "computed: a shard and the index"
    yield "to read one shard", lasting(read.micros * SHARD / 1e6), "computed"
    apart = read.micros * OBJECTS / 1e6 / MACHINES
    yield f"to read all, {MACHINES} processes", lasting(apart), "computed"


def memory() -> Iterator[Row]:
    """What is held for each name, and where a machine is full."""
    held = [one for one in (VERBS | STEPS).items() if one[1].memory >= 1]
    for name, step in sorted(held, key=lambda one: -one[1].memory):
        room = f"{MEMORY / step.memory / 1e6:,.0f} million"
        yield (
            name, f"{amount(step.memory * OBJECTS)}; {amount(MEMORY)} hold {room}",
            f"{step.memory:,.0f} bytes a name, measured at {step.names:,}",
        )  # fmt: skip
    yield "a plan of `sync`, a manifest read or written, files sorted", "under 100 MB", "flat, measured"


def time() -> Iterator[Row]:
    """What one processor takes."""
    for name in ("two lists compared", "a plan, all the same", "files sorted"):
        step = STEPS[name]
        yield name, processor(step), f"{step.micros} µs a name, measured at {step.names:,}"
    for name, step in VERBS.items():
        held = ", if there were the memory" if step.memory >= 1 else ""
        yield f"{name}{held}", processor(step), f"{step.micros} µs, measured at {step.names:,}"
    yield "SHA-256 of every byte", lasting(BYTES / HASHING), f"{amount(HASHING)} a second, measured"
    yield "objects of 20 KB down", lasting(OBJECT * OBJECTS / 1e6), f"{OBJECT} µs an object, measured"


def breaks() -> Iterator[Row]:
    """What breaks, in order of the names that it takes."""
    found = []
    for name, step in (VERBS | STEPS).items():
        if step.memory >= 1:  # that is full long before time is up
            found.append((MEMORY / step.memory, f"{name}: {amount(MEMORY)} of memory are full"))
        else:
            found.append((PATIENCE * 1e6 / step.micros, f"{name}: longer than an hour"))
            if step.disk:
                found.append((ROOM / step.disk, f"{name}: {amount(ROOM)} of temporary disk are full"))
    found.append((PAGE * AT_ONCE * PATIENCE / ANSWER, "waiting for a listing: longer than an hour"))
    for number, (names, what) in enumerate(sorted(found), 1):
        if names <= OBJECTS:
            yield f"{number}. {what}", f"{names / 1e6:,.0f} million names", "computed of what was measured"


def measured() -> Iterator[Row]:
    """What was measured."""
    for name, step in (STEPS | VERBS).items():
        memory = f"{step.memory:,.0f}" if step.memory >= 1 else "flat"
        cells = f"{step.exponent:.2f}", f"{step.micros} µs", f"{memory}", f"{step.disk or '-'}"
        yield name, f"{step.names:,}", " | ".join(cells)


def requests() -> Iterator[Row]:
    """What AWS takes, and what goes through the wire."""
    yield "verify, where the manifest has ETags: the listing", dollars(OBJECTS // PAGE * LISTING), "computed"
    yield "verify at `headers`, two requests each", dollars(2 * OBJECTS * READING), "computed"
    yield f"its bytes at {GLANCE} an image", amount(GLANCE * OBJECTS), "computed"
    yield f"its bytes at most, {SHARE:.0%} of all", amount(SHARE * BYTES), "computed; the share is what is promised"
    yield "every object read once, requests", dollars(OBJECTS * READING), "computed"
    yield "every object written once, requests", dollars(OBJECTS * WRITING), "computed"
    yield "every byte out of AWS", dollars(BYTES * LEAVING), "computed, too high: the price falls after 10 TB"
    yield "to lie there for a month", dollars(BYTES / 1e9 * STORING), "computed, too high: the price falls after 50 TB"
    alone = BYTES * 8 / WIRE
    yield f"every byte through {WIRE // 10**9} Gbit/s", lasting(alone), "computed"
    yield f"the same on {MACHINES} machines", lasting(alone / MACHINES), "computed"


SECTIONS = {
    "What breaks": breaks,
    "Listing": listing, "One manifest": manifest, "Shards": shards, "Memory": memory, "One processor": time,
    "Requests, dollars, bandwidth": requests,
}  # fmt: skip


def section(name: str) -> str:
    """One table as Markdown."""
    return _table((name, "", ""), SECTIONS[name]())


def _table(head: Sequence[str], rows: Iterable[Row]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |") for cells in lines)


def curve() -> str:
    """The table of what was measured."""
    head = ["What", "names, up to", "exponent", "processor, a name", "memory, bytes a name", "disk, bytes a name"]
    return _table(head, measured())


def page() -> str:
    """All tables."""
    return "\n\n".join([curve(), *map(section, SECTIONS)])


def renewed(text: str) -> str:
    """A page with its tables as they are computed now: each is known by its first line."""
    for made in page().split("\n\n"):
        head = re.escape(made.partition("\n")[0])
        text = re.sub(rf"^{head}\n(?:\|.*\n)+", lambda _, made=made: f"{made}\n", text, flags=re.MULTILINE)
    return text
