"""What a page says of the whole: facts, what was done to make it what it is, and charts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from visprep.amounts import size
from visprep.page.payload import Bar, Chart, Fact, Table
from visprep.page.payload import Step as Shown
from visprep.provenance import Dataset, Step
from visprep.render.text import counted, shortened
from visprep.statistics import Stats

#: Classes, and other bars, that a chart has.
_BARS = 100
#: Characters of a value of an option that are shown.
_LONGEST = 200
_KINDS = {
    "coco": "COCO", "frames": "frame sequences", "images": "plain images", "open-images": "Open Images",
    "splits": "a split", "tasks": "tasks", "voc": "Pascal VOC", "vton": "try-on triplets", "yolo": "YOLO",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Here:
    """How many records there are, how many are on the page, and whether the pictures of all were compared."""

    count: int
    shown: int
    every: bool


def kind_in_words(kind: str | None) -> str:
    """A format as people call it."""
    return _KINDS.get(kind or "", kind or "files")


def classes_of(stats: Stats) -> str:
    """What the classes of records are called."""
    return {"tasks": "domains", "triplets": "groups", "episodes": "games"}.get(stats.unit, "classes")


def facts(stats: Stats, dataset: Dataset | None, verified: str, unread: Sequence[str] = ()) -> Iterator[Fact]:
    """What is known of the whole; what is not known is left out."""
    yield Fact("kind", kind_in_words(stats.kind))
    for step in dataset.steps if dataset else ():
        if step.command in ("download", "gather"):
            yield Fact("source", _source(step), _address(step.source))
            if step.license:
                yield Fact("license", step.license)
            break
    if stats.unit != "files":
        yield Fact(stats.unit, _split_counts(stats))
    if stats.annotations is not None:
        yield Fact("annotations", f"{stats.annotations:,}")
    if stats.empty:
        yield Fact("without annotations", counted(stats.empty, "image"))
    if stats.absent:
        yield Fact("named and not there", counted(stats.absent, "image"))
    if stats.classes:
        yield Fact(classes_of(stats), f"{len(stats.classes):,}")
    yield Fact("files", f"{stats.files:,}, {size(stats.bytes)}")
    yield from _seen(stats)
    if verified:
        yield Fact("verify", verified)
    for why in unread:
        yield Fact("not read", why)
    for note in stats.notes:
        yield Fact("note", note)


def alike(pairs: int, listed: int, compared: int, here: Here, unit: str) -> Iterator[Fact]:
    """How many pairs are the same, how many of them are listed, and among which records they were looked for."""
    if compared < 2:  # there is nothing to be the same as
        return
    if compared == here.count:
        among = f"all {compared:,} {unit}"
    else:
        among = f"the {compared:,} {unit}" + ("" if here.every else " on this page")
        among += " whose pictures can be read" if compared < (here.count if here.every else here.shown) else ""
    told = counted(pairs, "pair") if pairs else "none"
    yield Fact("near-duplicates", f"{told} among {among}" + (f"; {listed:,} of them below" if listed < pairs else ""))


def _seen(stats: Stats) -> Iterator[Fact]:
    """What the pictures, their licenses and their prompts tell."""
    if stats.sizes:
        told = (stats.sizes.smallest, stats.sizes.largest, stats.sizes.median)
        small, large, middle = ("{} x {}".format(*one) for one in told)
        yield Fact("pixels", small if stats.sizes.different == 1 else f"{small} to {large}, median {middle}")
    if len(stats.licenses) == 1:
        yield Fact("license of images", *stats.licenses)
    if stats.prompts:
        said = stats.prompts
        words = f"{said.count:,}, of which {said.different:,} differ; {said.shortest:,} to {said.longest:,} characters"
        yield Fact(said.unit, f"{words}, median {said.median:,}")
    if stats.copies and stats.copies.copies:
        yield Fact("copies", f"{stats.copies.copies:,} of {stats.copies.compared:,} images")


def _split_counts(stats: Stats) -> str:
    named = [one for one in stats.splits if one.name]
    told = ", ".join(f"{one.name} {one.records:,}" for one in named[:12])
    more = f" and {len(named) - 12} more" if len(named) > 12 else ""
    return f"{stats.records:,}" + (f" ({told}{more})" if len(named) > 1 else "")


def _source(step: Step) -> str:
    return step.source + (f" at {step.revision}" if step.revision else "")


def _address(source: str) -> str | None:
    if source.startswith("hf:"):
        return f"https://huggingface.co/datasets/{source[3:]}"
    return None


def steps(dataset: Dataset | None) -> Iterator[Shown]:
    """The commands that made the place what it is, as its dataset.json says."""
    for step in dataset.steps if dataset else ():
        counts = ", ".join(f"{count:,} {name}" for name, count in step.counts.items())
        text = " ".join((step.source, *step.splits)) + (f": {counts}" if counts else "")
        told: dict[str, object] = {"revision": step.revision, "license": step.license, "date": step.date}
        told |= {f"--{name.replace('_', '-')}": _plain(value) for name, value in step.options.items()}
        told |= {"versions": ", ".join(f"{name} {version}" for name, version in step.versions.items())}
        said = {name: f"{value}" for name, value in told.items() if value not in (None, "", False)}
        rows = tuple(Fact(name, shortened(value, _LONGEST)) for name, value in said.items())
        yield Shown(step.command, text, rows)


def _plain(value: object) -> object:
    """A value of an option as it was typed."""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else value


def charts(stats: Stats) -> Iterator[Chart]:
    """Records of each split and class, and what `stats` counted."""
    splits = tuple(Bar(one.name, one.records) for one in stats.splits if one.name)
    if len(splits) > 1:
        yield Chart(f"{stats.unit} of each split".capitalize(), stats.unit, splits)
    if stats.classes:
        each = [(one.name, one.records if one.annotations is None else one.annotations) for one in stats.classes]
        unit = stats.unit if stats.classes[0].annotations is None else "annotations"
        bars = sorted(each, key=lambda one: -one[1])
        note = f"the {_BARS} most frequent of {len(bars):,}" if len(bars) > _BARS else ""
        yield Chart(classes_of(stats).capitalize(), unit, tuple(Bar(*one) for one in bars[:_BARS]), note)
    if len(stats.licenses) > 1:
        yield Chart("Licenses", "images", tuple(Bar(*one) for one in stats.licenses.items())[:_BARS])
    some = ""
    if stats.sample and stats.sample.looked < stats.sample.images:
        some = f"a sample: {stats.sample.looked:,} of {stats.sample.images:,} images"
    for one in stats.histograms:
        note = "; ".join(filter(None, (one.note, some if one.sampled else "")))
        yield Chart(one.title, one.unit, tuple(map(Bar, one.labels, one.counts))[:_BARS], note)


def tables(stats: Stats) -> Iterator[Table]:
    """The texts that come again and again."""
    often = stats.prompts.frequent if stats.prompts else ()
    if stats.prompts and often:
        rows = tuple((shortened(one.text, _LONGEST), f"{one.count:,}") for one in often)
        yield Table(f"The most frequent {stats.prompts.unit}", ("text", stats.unit), rows)
