"""How near splits come to what was asked for, as a page of the docs; `make_docs.py` writes and checks it.

The records are drawn from a seed by Python's own generator, which draws the same in every version.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import numpy as np

from visprep.partition import LEFT_OUT, Assignment, Balance, Population, assign, join, measure, parse_parts

RECORDS = 10_000
USUAL = "train=0.8,val=0.1,test=0.1"
INTRO = """# What a split comes to

<!-- Made by scripts/make_docs.py: change scripts/split_balance.py, and run it again. -->

All of this is computed from {records:,} drawn records. Where nothing else is said they have 0 to 6 of 100 classes each;
the commonest class has {most:,} records, the rarest {least:,}. The seed of the split is 42.

The *error* of a class is the share of its records that a part has, less the share that was asked for, in percentage
points; the columns have the largest one of any class and part, of classes with at least so many records. *Absent*
counts the classes of 3 or more records that a part lacks, for each part: `split` reports each of them as
`class-absent-from-part`. What your own split comes to is in its `split.json`, and on the screen:

```sh
visprep split annotations/instances_train2017.json --parts train=0.8,val=0.1,test=0.1 --method exact --stratify
```"""
METHODS = """## Asked and reached

Parts `{parts}`: 8,000, 1,000 and 1,000 records are asked for.

| How | train | val | test | Error, 200 records | 50 records | Absent |
|---|---|---|---|---|---|---|"""
GROWTH = """## What moves when records come

The {records:,} records are split, others come, and all are split again with the same seed. *Moved* counts the records
of the first split that are in another part after the second.

| How | More records | Moved | train | val | test | Error, 200 records |
|---|---|---|---|---|---|---|"""
CLASSES = """## Classes that are hard to spread

`--method exact --stratify`. *Off* is by how many records sizes miss what was asked for.

| Records | Parts | Off | Error, 200 records | Absent |
|---|---|---|---|---|"""
TAIL = """Where 1,000 rare classes stand alone on their records, a part of 1,000 records has no room for one of each,
for the common classes have first claim to their share; nor has a part of 10 records room for 100 classes.

In all of the above, where records stand alone or in groups of up to 60 and have few classes each, `--method exact
--stratify` brings every class of 200 records and more within one percentage point of its share. Large groups, and many
classes on each record, keep it from that."""


def document() -> str:
    """The page, as Markdown."""
    records = usual(RECORDS)
    counts = np.bincount(records.having[:, 1])
    intro = INTRO.format(records=RECORDS, most=counts.max(), least=counts.min())
    sections = [
        "\n".join([METHODS.format(parts=USUAL), *methods(records)]),
        "\n".join([GROWTH.format(records=RECORDS), *growth()]),
        "\n".join([CLASSES, *hard()]),
        TAIL,
    ]
    return "\n\n".join([intro, *sections]) + "\n"


def usual(count: int) -> Population:
    """Records with classes of which each is rarer than the one before it."""
    dice = random.Random(7)
    weights = [(rank + 1) ** -1.1 for rank in range(100)]
    return population([set(dice.choices(range(100), weights, k=dice.randrange(7))) for _ in range(count)])


def population(labels: list[set[int]]) -> Population:
    """Records by the classes that each has."""
    pairs = [(number, label) for number, one in enumerate(labels) for label in sorted(one)]
    classes = [f"class {label}" for label in range(max(label for _, label in pairs) + 1)]
    return Population.of([f"{number:06}.jpg" for number in range(len(labels))], classes, np.array(pairs, np.int64))


def grouped(records: Population) -> Population:
    """The same records in groups of 1 to 60, as `--group-by` makes them."""
    dice = random.Random(8)
    return bound(records, [dice.choice((1, 1, 1, 2, 3, 5, 10, 20, 60)) for _ in range(len(records))])


def unequal() -> list[int]:
    """Sizes of groups: three of 2,000 and 1,000 records, the rest ever smaller."""
    return [2_000, 1_000, 1_000, *(max(1, 1_000 // rank) for rank in range(2, RECORDS))]


def many_classes() -> Population:
    """Records of which each has 25 of 1,000 classes."""
    dice = random.Random(10)
    return population([set(dice.sample(range(1_000), 25)) for _ in range(RECORDS)])


def bound(records: Population, sizes: Sequence[int]) -> Population:
    """The same records in groups of these sizes, as far as there are records."""
    values: list[str | None] = []
    for size in sizes:
        if len(values) < len(records):
            values += [f"group {len(values)}"] * size
    groups = join(records.keys, np.empty((0, 2), np.int64), values[: len(records)])
    return Population.of(records.keys, records.classes, records.having, groups)


def methods(records: Population) -> Iterator[str]:
    """A row for each way to split."""
    together = grouped(records)
    ways = (
        ("`--method stable`", records, USUAL, "stable", False),
        ("`--method exact`", records, USUAL, "exact", False),
        ("`--method exact --stratify`", records, USUAL, "exact", True),
        ("`--method exact --stratify`, counts: `train=8000,val=1000,test=1000`", records, "", "exact", True),
        ("`--method stable --group-by`, groups of 1 to 60 records", together, USUAL, "stable", False),
        ("`--method exact --group-by`", together, USUAL, "exact", False),
        ("`--method exact --group-by --stratify`", together, USUAL, "exact", True),
    )
    for words, one, parts, method, stratify in ways:
        balance = drawn(one, parts or "train=8000,val=1000,test=1000", method, stratify)[1]
        sizes = " | ".join(f"{size:,}" for size in balance.reached.tolist())
        errors = f"{balance.worst(200):.2f} | {balance.worst(50):.2f}"
        yield f"| {words} | {sizes} | {errors} | {len(balance.absent)} |"


def growth() -> Iterator[str]:
    """A row for each way to split again, and for each number of records that came."""
    whole = usual(2 * RECORDS)
    few = first(whole, RECORDS)
    ways = (
        ("`--method stable`", "stable", False, False),
        ("`--method exact --stratify --extend split.json`", "exact", True, True),
        ("`--method exact --stratify`, drawn anew", "exact", True, False),
    )
    for words, method, stratify, extend in ways:
        before, _ = drawn(few, USUAL, method, stratify)
        for more in (1, 10, 100):
            count = RECORDS + RECORDS * more // 100
            placed = np.append(before.parts, np.full(count - RECORDS, LEFT_OUT)) if extend else None
            after, balance = drawn(first(whole, count), USUAL, method, stratify, placed)
            moved = np.count_nonzero(after.parts[:RECORDS] != before.parts)
            sizes = " | ".join(f"{size:,}" for size in balance.reached.tolist())
            yield f"| {words} | {more} % | {moved:,} | {sizes} | {balance.worst(200):.2f} |"


def first(records: Population, count: int) -> Population:
    """The first records of a population."""
    return Population.of(records.keys[:count], records.classes, records.having[records.having[:, 0] < count])


def hard() -> Iterator[str]:
    """A row for each kind of classes, and for parts that are many or small."""
    dice = random.Random(9)
    rare = [label for label in range(5, 1_005) for _ in range(dice.randrange(1, 6))]
    common = [set(dice.sample(range(5), 2)) for _ in range(RECORDS)]
    beside = list(map(set.copy, common))
    for label, number in zip(rare, dice.sample(range(RECORDS), len(rare)), strict=True):
        beside[number].add(label)
    alone = [{label} for label in rare] + [{number % 5} for number in range(RECORDS - len(rare))]
    ten = ",".join(f"p{number}=0.1" for number in range(10))
    records = usual(RECORDS)
    cases = (
        ("All of one class", population([{0}] * RECORDS), USUAL, f"`{USUAL}`"),
        ("Each of a class of its own", population([{number} for number in range(RECORDS)]), USUAL, f"`{USUAL}`"),
        ("1,000 classes of 1 to 5 records, beside common ones", population(beside), USUAL, f"`{USUAL}`"),
        ("1,000 classes of 1 to 5 records, alone on these", population(alone), USUAL, f"`{USUAL}`"),
        ("The usual 100 classes", records, ten, "10 parts of 0.1"),
        ("25 of 1,000 classes each", many_classes(), USUAL, f"`{USUAL}`"),
        ("The usual 100 classes, 20 groups of 500 records", bound(records, [500] * 20), USUAL, f"`{USUAL}`"),
        ("The usual 100 classes, groups of 1 to 2,000 records", bound(records, unequal()), USUAL, f"`{USUAL}`"),
        ("The usual 100 classes", records, "train=0.899,val=0.1,test=0.001", "`train=0.899,val=0.1,test=0.001`"),
    )
    for words, one, parts, said in cases:
        balance = drawn(one, parts, "exact", True)[1]
        off = int(np.abs(balance.reached - balance.asked).sum())
        common_ = f"{balance.worst(200):.2f}" if (balance.counts >= 200).any() else "none has 200"
        yield f"| {words} | {said} | {off} | {common_} | {len(balance.absent)} |"


def drawn(
    records: Population, parts: str, method: str, stratify: bool, placed: np.ndarray | None = None
) -> tuple[Assignment, Balance]:
    """A split, and what it comes to."""
    asked = parse_parts(parts)
    found = assign(records, asked, method=method, seed=42, stratify=stratify, placed=placed)
    return found, measure(records, asked, found)
