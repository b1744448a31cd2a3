"""The parts of a page that its script draws, as JSON inside of HTML."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from visprep.page.payload import Code, FindingRow, FindingsSummary, Item, Payload, Picture, Shape, Video
from visprep.page.sections import is_web, named, titled

#: Pictures are parsed when they are first seen, so many at once
CHUNK = 20


def data(payload: Payload) -> Iterator[str]:
    """Yield the elements that hold the data: first what is searched and filtered, then pictures and shapes.

    Raises:
        ValueError: A picture or video is not a `data:` address, or an index points nowhere.
    """
    classes = sorted({name for item in payload.items for name in _classes(item)})
    numbers = {name: at for at, name in enumerate(classes)}
    _check(payload)
    yield _element("data", _head(payload, classes, numbers))
    for at in range(0, len(payload.items), CHUNK):
        bodies = [_body(item, numbers) for item in payload.items[at : at + CHUNK]]
        yield _element(f"items-{at // CHUNK}", bodies)


def _element(name: str, value: object) -> str:
    # All is ASCII: `<` as an escape cannot end the element, and half of a surrogate pair stays what it is
    text = json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c").replace(">", "\\u003e")
    return f'<script type="application/json" id="{name}">{text}</script>\n'


def _head(payload: Payload, classes: list[str], numbers: dict[str, int]) -> dict[str, object]:
    codes = payload.findings.codes or tuple(_counted(payload.findings))
    at_code = {one.code: at for at, one in enumerate(codes)}
    return {
        "chunk": CHUNK,
        "titles": {part: titled(payload, part) for part in ("group", "findings", "finding", "message")},
        "classes": [named(name) for name in classes],
        "items": [
            _bare(
                name=item.name,
                group=item.group,
                kind=item.kind,
                classes=sorted(numbers[name] for name in _classes(item)),
                texts=[[text.label, text.value] for text in item.texts],
                tags=item.tags,
                findings=item.findings,
                codes=[[at_code[code], count] for code, count in _codes(item, payload.findings).items()],
                shapes=len(item.shapes),
                states=sorted({shape.state for shape in item.shapes} - {""}),
                video=item.video is not None,
            )
            for item in payload.items
        ],
        "findings": [_finding(row) for row in payload.findings.items],
        "codes": [[one.code, one.level, one.count] for one in codes],
        "pairs": [[pair.a, pair.b, pair.what, pair.distance] for pair in payload.pairs],
    }


def _counted(summary: FindingsSummary) -> Iterator[Code]:
    """The codes of the rows, with the level of the first."""
    levels = {row.code: row.level for row in reversed(summary.items)}
    for code, count in Counter(row.code for row in summary.items).items():
        yield Code(code, levels[code], count)


def _codes(item: Item, summary: FindingsSummary) -> Mapping[str, int]:
    """How many findings of each code are about an item."""
    return item.codes or Counter(summary.items[at].code for at in item.findings)


def _finding(row: FindingRow) -> dict[str, Any]:
    href = row.href if row.href is not None and is_web(row.href) else None
    told = _bare(code=row.code, level=row.level, path=row.path, message=row.message, hint=row.hint, href=href)
    return told if row.item is None else told | {"item": row.item}


def _body(item: Item, numbers: dict[str, int]) -> dict[str, Any]:
    return _bare(
        pictures=[_picture(picture) for picture in item.pictures],
        shapes=[_shape(shape, numbers) for shape in item.shapes],
        video=item.video and _video(item.video),
    )


def _picture(picture: Picture) -> dict[str, Any]:
    return _bare(label=picture.label, src=picture.src, width=picture.width, height=picture.height, note=picture.note)


def _video(video: Video) -> dict[str, Any]:
    return _bare(src=video.src, type=video.type, note=video.note)


def _shape(shape: Shape, numbers: dict[str, int]) -> dict[str, Any]:
    # A path of broken data may hold nan or inf, which no command of a path does: nothing is drawn then
    path = "" if "n" in shape.d else shape.d
    points = [[x, y, seen] if isfinite(x) and isfinite(y) else [0, 0, 0] for x, y, seen in shape.points]
    more = _bare(d=path, points=points, skeleton=shape.skeleton, state=shape.state, detail=shape.detail)
    return {"picture": shape.picture, "kind": shape.kind, "class": numbers[shape.label], **more}


def _classes(item: Item) -> set[str]:
    return {shape.label for shape in item.shapes} | set(item.classes)


def _bare(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _check(payload: Payload) -> None:
    sources = [picture.src for item in payload.items for picture in item.pictures]
    sources += [item.video.src for item in payload.items if item.video]
    if any(src and not src.startswith("data:") for src in sources):
        raise ValueError("A page holds its pictures and videos itself: each is a data: address, or empty")
    pointed = [row.item for row in payload.findings.items if row.item is not None]
    pointed += [at for pair in payload.pairs for at in (pair.a, pair.b)]
    if any(not 0 <= at < len(payload.items) for at in pointed):
        raise ValueError(f"A finding or a pair points to an item that is not among the {len(payload.items)} items")
    if any(not 0 <= at < len(payload.findings.items) for item in payload.items for at in item.findings):
        raise ValueError("An item points to a finding that is not there")
