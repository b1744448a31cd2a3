"""What a place's own record tells of where it comes from."""

from __future__ import annotations

import os
import re

from visprep import sources
from visprep.errors import VisprepError
from visprep.metadata import Origins
from visprep.own_record import read_dataset
from visprep.provenance import Step
from visprep.sources import Source
from visprep.stores import Store, archive_ending


def origins(store: Store) -> Origins:
    """What `dataset.json` tells; BadRecord when it is damaged or someone else's."""
    dataset = read_dataset(store)
    steps = dataset.steps if dataset else ()
    dates = [step.date for step in steps if step.date]
    found = [source for step in steps if (source := _source(step))]
    alone = found[0] if len({one.name for one in found}) == 1 else None
    licenses = list(dict.fromkeys(step.license for step in steps if step.license))
    return Origins(
        name=_name(store.place),
        steps=steps,
        title=alone.title if alone and not alone.name.startswith("hf:") else None,  # that is the same for all of them
        home=alone.home if alone and re.match(r"https?://", alone.home) else None,
        license=licenses[0] if len(licenses) == 1 else "; ".join(licenses) or None,
        created=min(dates, default=None),
        changed=max(dates, default=None),
        digest=dataset.files if dataset else None,
    )


def _source(step: Step) -> Source | None:
    """The source of a download; None for other steps, whose `source` is the name of a place."""
    if step.command != "download":
        return None
    try:
        return sources.get(step.source)
    except VisprepError:  # a plug-in's that is not installed here
        return None


def _name(place: str) -> str:
    """What a place is called: the last part of its path, of an archive without its ending."""
    if "://" in place:
        return place.rstrip("/").rpartition("/")[2]
    name = os.path.basename(os.path.realpath(place))  # noqa: PTH119 -- a link has the name of what it shows
    return name.removesuffix(archive_ending(place)) or name or "dataset"
