"""What a download of Open Images says of itself in `dataset.json`, and where its tables come from."""

from __future__ import annotations

from visprep import provenance
from visprep.ancestors import recorded_ids
from visprep.digests import digest_of
from visprep.roads import BucketOptions, Road
from visprep.sources import Mirror, Selection
from visprep.sources.open_images import OpenImages
from visprep.stores import Store
from visprep.stores.http import HttpStore

__all__ = ["step", "table_mirrors", "table_origins"]


def step(source: OpenImages, chosen: Selection, options: BucketOptions, way: Road) -> provenance.Step:
    """The step that a download of this selection is."""
    listed = None
    if chosen.images is not None:
        listed = " ".join(f"{split}/{one}" for split, ids in sorted(chosen.images.items()) for one in sorted(ids))
    said = {
        "labels": list(chosen.labels),
        "classes": list(chosen.classes),
        "expand-hierarchy": chosen.expand_hierarchy,
        "limit": chosen.limit,
        "seed": chosen.seed,
        "licenses": list(chosen.licenses),
        "ids": None if listed is None else digest_of(listed.encode()),
        "only-matching": chosen.only_matching,
        "original": options.original,
    }
    return provenance.step(
        "download",
        source.name,
        packages=("numpy", "pyarrow"),
        splits=chosen.splits or source.default_splits,
        options={key: value for key, value in said.items() if value or (value == 0 and value is not False)},
        origin={
            "via": options.via,
            "tables": [store.place for store in table_origins(source, options)],
            "images": way.places,
            **({"mirrors": [HttpStore(mirror.url).place for mirror in options.mirrors]} if options.mirrors else {}),
            **recorded_ids(listed),
        },
        license=source.license,
    )


def table_mirrors(source: OpenImages, options: BucketOptions) -> list[Mirror]:
    """Where the tables lie: upstream, or at the mirrors that are asked for."""
    urls = [f"{mirror.url.rstrip('/')}/openimages" for mirror in options.mirrors]
    return [Mirror(url) for url in urls or [source.tables_url]]


def table_origins(source: OpenImages, options: BucketOptions) -> list[Store]:
    """The same, to be read from."""
    return [HttpStore(mirror.url) for mirror in table_mirrors(source, options)]
