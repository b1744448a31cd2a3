"""What is asked of verify."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

from visprep.baselines import Baseline
from visprep.engines.local import Local
from visprep.errors import UnknownName, UsageError, did_you_mean
from visprep.findings import Kind, Level, Report
from visprep.formats import coco_counts, tasks
from visprep.formats.coco_counts import Expected
from visprep.rules import Depth
from visprep.selection import Selection


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a place.

    `loader` says that its images shall be named by their place on S3, `reread` that also those are looked into that a
    manifest vouches for.
    """

    format: str | None = None
    depth: Depth | None = None
    layout: tasks.Layout = tasks.LAYOUTS["template"]
    selection: Selection = field(default_factory=Selection)
    baseline: Baseline = field(default_factory=Baseline)
    fail_on: Level = Level.ERROR
    since: str | None = None
    expect: str | tuple[Expected, ...] | None = None
    loader: bool = False
    reread: bool = False

    def looks_for(self, rule: Kind) -> bool:
        """Whether findings of a rule may be among those asked for."""
        return self.selection.looks_for(rule.code)

    def asked(self, report: Report) -> Report:
        """A report with what of it is asked for, and not known."""
        findings = tuple(one for one in report.findings if self.selection.admits(one))
        new = self.baseline.new(findings)
        rules = tuple(rule for rule in report.rules if self.looks_for(rule))
        return replace(report, findings=new, known=len(findings) - len(new), rules=rules, fail_on=self.fail_on)

    def check_for_file(self, dry_run: bool, engine: object) -> None:
        """UsageError for what is asked of a place, and makes no sense of one file."""
        if engine != "local" and not isinstance(engine, Local):
            raise UsageError("a single file is looked at by one process", hint="leave out --engine, or name the place")
        if self.format not in (None, "coco") or self.since or self.expect is not None or dry_run:
            raise UsageError(
                "a single file is checked as COCO JSON, and by itself",
                hint="leave out --as, --only-changed, --expect and --dry-run, or name the directory of the dataset",
            )


def expected_counts(expect: str | os.PathLike[str] | None) -> str | tuple[Expected, ...] | None:
    """What `--expect` says: `official`, or the counts of a file; FileMissing or UsageError when that tells none."""
    return expect if expect is None or expect == "official" else coco_counts.from_file(expect)


def one_of(what: str, name: str, known: tuple[str, ...]) -> str:
    """`name`; UnknownName when it is not known."""
    if name not in known:
        raise UnknownName(f"there is no {what} {str(name)!r}", hint=did_you_mean(name, known))
    return name
