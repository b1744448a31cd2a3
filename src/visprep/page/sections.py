"""The parts of a page that need no script: what it says in words, numbers and bars."""

from html import escape
from urllib.parse import urlsplit

from visprep.page.payload import Bar, Chart, Fact, Payload, Step, Table

#: Of longer charts the first are shown and the rest is folded away
WHOLE = 16
FIRST = 12
#: Characters of a name that are shown: what a class is called may be a text of any length
_LONGEST = 100

_TITLES = {
    "facts": "Overview",
    "steps": "How it was made",
    "charts": "Distributions",
    "findings": "Findings",
    "items": "Items",
    "pairs": "Near-duplicates",
    "group": "Split",
    "finding": "Finding",
    "message": "What is wrong",
}
_LEVELS = {"error": "errors", "warning": "warnings", "note": "notes"}


def titled(payload: Payload, part: str) -> str:
    """Return what a part is called on this page, as plain text."""
    return payload.titles.get(part, _TITLES[part])


def shown(text: str) -> str:
    """Return text as HTML that shows it: half of a surrogate pair, as in undecodable file names, becomes `?`."""
    return escape(text.encode("utf-8", "replace").decode("utf-8"))


def named(text: str) -> str:
    """Return the name of a class or a bar, cut where it would fill the page."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def number(count: float) -> str:
    """Return a number as people read it: 118,287 or 0.25."""
    return f"{count:,}" if isinstance(count, int) else f"{count:,.4g}"


def header(payload: Payload) -> str:
    """Return the title, the place and the sentence about the whole."""
    lines = [f"<h1>{shown(payload.title)}</h1>", f'<p class="place"><code>{shown(payload.place)}</code>']
    lines.append(f' <span class="tag">{shown(payload.kind)}</span></p>' if payload.kind else "</p>")
    if payload.summary:
        lines.append(f"<p>{shown(payload.summary)}</p>")
    return "\n".join(lines)


def nav(payload: Payload) -> str:
    """Return links to the parts that are there."""
    there = {
        "facts": payload.facts,
        "charts": payload.charts,
        "findings": payload.findings.counts or payload.findings.items,
        "items": payload.items,
        "pairs": payload.pairs,
        "steps": payload.steps,
    }
    parts = [f'<a href="#{part}">{shown(titled(payload, part))}</a>' for part, value in there.items() if value]
    return f'<nav aria-label="Parts of this page">{" ".join(parts)}</nav>' if len(parts) > 1 else ""


def overview(payload: Payload) -> str:
    """Return the facts about the whole."""
    if not payload.facts:
        return ""
    return _section(payload, "facts", _facts(payload.facts))


def charts(payload: Payload) -> str:
    """Return all charts. A chart is a table whose middle column is a bar: it reads well without seeing, too."""
    if not payload.charts:
        return ""
    drawn = "\n".join(_chart(chart) for chart in payload.charts)
    return _section(payload, "charts", f'<div class="charts">\n{drawn}\n</div>')


def tables(payload: Payload) -> str:
    """Return all tables, each a part of its own."""
    return "\n".join(_table(table, f"table-{at}") for at, table in enumerate(payload.tables))


def findings(payload: Payload) -> str:
    """Return how many findings there are; their rows are filled in by the script."""
    summary = payload.findings
    if not summary.counts and not summary.items:
        return ""
    counts = " ".join(
        f'<li class="level {shown(level)}"><b>{number(count)}</b> {_plural(level, count)}</li>'
        for level, count in summary.counts.items()
    )
    note = f'<p class="quiet">{shown(summary.note)}</p>' if summary.note else ""
    rows = '<div id="finding-rows"></div>' if summary.items else ""
    return _section(payload, "findings", f'<ul class="counts">{counts}</ul>{note}{rows}')


def items(payload: Payload) -> str:
    """Return the frame of the gallery, and how its items were chosen."""
    if not payload.items:
        return ""
    here, total = len(payload.items), max(payload.total, len(payload.items))
    some = f"{number(here)} of {number(total)} are" if total > here else f"All {number(total)} are"
    some = "The only one is" if total == 1 else some
    how = f": {payload.how}" if payload.how else "."
    return _section(payload, "items", f'<p class="quiet">{some} on this page{shown(how)}</p><div id="gallery"></div>')


def pairs(payload: Payload) -> str:
    """Return the frame of the pairs."""
    return _section(payload, "pairs", '<div id="pair-rows"></div>') if payload.pairs else ""


def steps(payload: Payload) -> str:
    """Return the commands that made the dataset, in their order."""
    if not payload.steps:
        return ""
    return _section(payload, "steps", f'<ol class="steps">{"".join(_step(step) for step in payload.steps)}</ol>')


def footer(payload: Payload) -> str:
    """Return the last line of the page."""
    return f"<p>{shown(payload.footer)}</p>" if payload.footer else ""


def _section(payload: Payload, part: str, body: str) -> str:
    title = shown(titled(payload, part))
    return f'<section id="{part}" aria-labelledby="{part}-title"><h2 id="{part}-title">{title}</h2>\n{body}</section>'


def _facts(facts: tuple[Fact, ...]) -> str:
    lines = (f"<div>{_label(fact.label)}<dd>{_value(fact)}</dd></div>" for fact in facts)
    return f'<dl class="facts">{"".join(lines)}</dl>'


def _label(label: str) -> str:
    """What a fact is called; an option stays as it is typed."""
    return f'<dt class="name">{shown(label)}</dt>' if label.startswith("-") else f"<dt>{shown(label)}</dt>"


def _value(fact: Fact) -> str:
    if fact.href is None or not is_web(fact.href):
        return shown(fact.value)
    return f'<a href="{shown(fact.href)}" rel="noopener noreferrer">{shown(fact.value)}</a>'


def is_web(href: str) -> bool:
    """Whether this may be a link on a page: an address of the web, and no script."""
    try:
        return urlsplit(href).scheme in ("http", "https")
    except ValueError:
        return False


def _step(step: Step) -> str:
    text = f"<p>{shown(step.text)}</p>" if step.text else ""
    return f"<li><h3>{shown(step.name)}</h3>{text}{_facts(step.facts) if step.facts else ''}</li>"


def _chart(chart: Chart) -> str:
    most = max((bar.count for bar in chart.bars), default=0)
    shown_first = chart.bars if len(chart.bars) <= WHOLE else chart.bars[:FIRST]
    title = f"{shown(chart.title)} <small>{shown(chart.unit)}</small>"
    lines = [f'<div class="chart"><h3>{title}</h3>', _bars(chart, shown_first, most)]
    if rest := chart.bars[len(shown_first) :]:
        summary = f"{number(len(rest))} more"
        lines.append(f"<details><summary>{summary}</summary>{_bars(chart, rest, most)}</details>")
    if chart.note:
        lines.append(f'<p class="quiet">{shown(chart.note)}</p>')
    return "".join(lines) + "</div>"


def _bars(chart: Chart, bars: tuple[Bar, ...], most: float) -> str:
    rows = "\n".join(_bar(bar, most) for bar in bars)
    return f'<table class="bars" aria-label="{shown(chart.title)}"><tbody>{rows}</tbody></table>'


def _bar(bar: Bar, most: float) -> str:
    width = 100 * bar.count / most if most > 0 else 0
    drawn = f'<rect width="{width:.2f}" height="10"/>'
    return (
        f'<tr><th scope="row">{shown(named(bar.label))}</th>'
        f'<td class="bar"><svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg></td>'
        f'<td class="count">{number(bar.count)}</td></tr>'
    )


def _table(table: Table, name: str) -> str:
    digits = [
        all(row[at].replace(",", "").replace("%", "").replace(".", "").isdigit() for row in table.rows if row[at])
        for at in range(len(table.columns))
    ]
    right = [' class="count"' if digit and table.rows else "" for digit in digits]
    head = "".join(
        f'<th scope="col"{side}>{shown(one)}</th>' if one else "<td></td>"
        for one, side in zip(table.columns, right, strict=True)
    )
    rows = "\n".join(
        "<tr>" + "".join(f"<td{side}>{shown(one)}</td>" for one, side in zip(row, right, strict=True)) + "</tr>"
        for row in table.rows
    )
    note = f'<p class="quiet">{shown(table.note)}</p>' if table.note else ""
    return (
        f'<section id="{name}"><h2>{shown(table.title)}</h2>{note}'
        f'<div class="wide" role="region" tabindex="0" aria-label="{shown(table.title)}, as a table">'
        f'<table class="rows"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></section>'
    )


def _plural(level: str, count: int) -> str:
    return shown(level) if count == 1 else shown(_LEVELS.get(level, level))
