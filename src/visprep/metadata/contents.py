"""What a place holds, whatever its kind."""

from __future__ import annotations

from visprep.errors import UnknownContent
from visprep.metadata import Contents, coco, layouts
from visprep.metadata.looking import Place
from visprep.progress import OnProgress
from visprep.rules.image_files import is_image

#: Kinds that are known by how their files end, where nothing else is recognized.
_ENDINGS = {".parquet": "parquet", ".tar": "webdataset"}


def contents(place: Place, kind: str | None, progress: OnProgress) -> Contents:
    """What there is; `kind` is the format that the place was recognized as being in, None for none.

    UnknownContent when nothing is there that can be described.
    """
    if kind in ("coco", "open-images"):
        return coco.contents(place, kind, progress)
    if kind is None:
        kind = next((kind for end, kind in _ENDINGS.items() if any(f.path.endswith(end) for f in place.data)), None)
    if kind is None and any(is_image(file.path) for file in place.data):
        kind = "images"
    if kind is None:
        raise UnknownContent(
            f"{place.store.place}: nothing here that visprep can describe",
            hint="expected annotations/*.json, {domain}_task/{task_id}/first_frame.png and so on, "
            "data.yaml with images/ and labels/, Annotations/*.xml, initial_image/{stem}_person.png and so on, "
            "{episode}/frame_{number}.png, images, *.parquet, or *.tar",
        )
    return layouts.BY_KIND[kind](place)
