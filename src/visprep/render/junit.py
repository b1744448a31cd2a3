"""JUnit XML, for the test viewers of CI systems.

Every kind of wrong that was looked for is a test suite, and a class of tests; every file, or part of one, on which it
was found is a test that did not pass. A kind that was found nowhere is one test that passed, named after the place.
What makes the report fail is a failure; all else is a skipped test, which viewers show without failing. Names are
unique and hold no position: viewers that compare two runs go by them, and drop what has the same name.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from visprep.findings import Finding, Report, numbered
from visprep.render.paths import Paths
from visprep.render.text import counted, printable

#: How many findings become tests. Viewers refuse or choke on files of tens of megabytes.
LIMIT = 5_000


def as_junit(report: Report) -> Iterator[str]:
    """The report as test suites, sorted by code; of a long one the gravest findings, and a test that names the rest."""
    shown, left_out = report.findings[:LIMIT], report.findings[LIMIT:]
    suites: defaultdict[str, list[tuple[Finding, int]]] = defaultdict(list)
    for finding, number in numbered(shown):
        suites[finding.code].append((finding, number))
    for passed in {kind.code for kind in report.rules} - {finding.code for finding in report.findings}:
        suites[passed] = []
    tests = sum(len(found) or 1 for found in suites.values()) + bool(left_out)
    failures = sum(map(report.fails, shown)) + any(map(report.fails, left_out))
    skipped = len(shown) + bool(left_out) - failures
    paths = Paths(report.place)
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield _opened("testsuites", "visprep verify", tests, failures, skipped)
    for code in sorted(suites):
        yield from _suite(code, suites[code], report, paths)
    if left_out:
        yield from _summary(left_out, report)
    if report.known:
        yield from _known(report.known)
    yield "</testsuites>\n"


def _suite(code: str, found: list[tuple[Finding, int]], report: Report, paths: Paths) -> Iterator[str]:
    failures = sum(report.fails(finding) for finding, _ in found)
    yield "  " + _opened("testsuite", code, len(found) or 1, failures, len(found) - failures)
    for finding, number in found:
        place = {"file": paths.path(finding.path)}
        if line := finding.where.get("line"):
            place["line"] = line
        yield f"    <testcase{_attributes(classname=code, name=_name(finding, number), **place)}>\n"
        yield _verdict(
            finding.code, f"{finding.level.value}: {printable(finding.message)}", report.fails(finding), finding.hint
        )
        yield "    </testcase>\n"
    if not found:
        yield f"    <testcase{_attributes(classname=code, name=report.place)}/>\n"
    yield "  </testsuite>\n"


def _known(count: int) -> Iterator[str]:
    """How many findings a baseline left out: a suite without tests, since it is none of them."""
    yield "  " + _opened("testsuite", "baseline", 0, 0, 0)
    yield f"    <properties>\n      <property{_attributes(name='known', value=count)}/>\n    </properties>\n"
    yield f"    <system-out>{counted(count, 'known finding')} left out</system-out>\n  </testsuite>\n"


def _summary(left_out: tuple[Finding, ...], report: Report) -> Iterator[str]:
    fails = any(map(report.fails, left_out))
    codes = Counter(finding.code for finding in left_out)
    words = f"{counted(len(left_out), 'more finding')}: " + ", ".join(
        f"{count:,} {code}" for code, count in codes.most_common()
    )
    yield "  " + _opened("testsuite", "visprep", 1, int(fails), int(not fails))
    yield f"    <testcase{_attributes(classname='visprep', name='findings that are not listed here')}>\n"
    yield _verdict("visprep", words, fails, "--format json has all")
    yield "    </testcase>\n  </testsuite>\n"


def _opened(tag: str, name: str, tests: int, failures: int, skipped: int) -> str:
    counts = {"tests": tests, "failures": failures, "errors": 0, "skipped": skipped}
    return f"<{tag}{_attributes(name=name, **counts)}>\n"


def _verdict(kind: str, message: str, fails: bool, hint: str | None) -> str:
    """Why a test did not pass: as an attribute for those who read it there, and as text for the others."""
    words = escape(f"{message}\nhint: {printable(hint)}" if hint else message)
    if fails:
        return f"      <failure{_attributes(type=kind, message=message)}>{words}</failure>\n"
    return f"      <skipped{_attributes(message=message)}>{words}</skipped>\n"


def _name(finding: Finding, number: int) -> str:
    """The path, the part of the file that is named, and which of several findings on it this is."""
    names = ", ".join(f"{key} {value}" for key, value in finding.names.items())
    return (finding.path or ".") + (f" ({names})" if names else "") + (f" #{number}" if number > 1 else "")


def _attributes(**values: object) -> str:
    return "".join(f" {name}={quoteattr(printable(str(value)))}" for name, value in values.items())
