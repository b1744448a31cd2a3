"""The sample: small datasets drawn by code, so that everything can be tried without a network.

Its configs are of several kinds: `tasks`, `coco`, `open-images`, `vton` and `frames`, each drawn in a file beside this
one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from visprep.errors import UsageError
from visprep.records import Files, Record
from visprep.sources import (
    Access,
    Selection,
    Upstream,
    check_names,
    sample_coco,
    sample_frames,
    sample_open_images,
    sample_tasks,
    sample_vton,
)


class Sample:
    """The source `sample`: needs no network and no store."""

    name = "sample"
    title = "Small datasets drawn by visprep, to try everything offline"
    license = "Apache-2.0"
    home = "drawn by visprep itself"
    splits = ("test",)
    default_splits = ("test",)
    kinds = MappingProxyType(
        {"tasks": "tasks", "coco": "images", "open-images": "images", "vton": "triplets", "frames": "episodes"}
    )
    configs = tuple(kinds)

    @property
    def counts(self) -> Mapping[str, int]:
        """The number of tasks of the one split."""
        return {"test": len(sample_tasks.DOMAINS) * sample_tasks.PER_DOMAIN}

    def resolve(self, selection: Selection) -> Upstream:
        """Check the selection; there is nothing upstream to find."""
        check_names("config", selection.configs, self.configs, self.name)
        if len(selection.configs) > 1:
            raise UsageError("the configs of the sample are datasets of their own", hint="name one at a time")
        config = selection.configs[0] if selection.configs else "tasks"
        splits = tuple(_SPLITS.get(config, self.splits))
        check_names("split", selection.splits, splits, self.name)
        if selection.revision is not None:
            raise UsageError(
                f"sample has no revisions, so {selection.revision!r} cannot be pinned", hint="leave out --revision"
            )
        return Upstream(splits=selection.splits or splits, kind=self.kinds[config])

    def records(self, upstream: Upstream, split: str, selection: Selection, access: Access) -> Iterator[Record]:
        """Every record of a split; each is drawn when it is pulled."""
        kind = upstream.kind
        if kind == "images":
            if selection.configs == ("coco",):
                yield from _coco(split, selection.limit)
            else:
                yield from _open_images(split, selection.limit, with_lists=split == upstream.splits[0])
            return
        check_names("split", (split,), self.splits, self.name)
        if kind == "tasks":
            yield from sample_tasks.draw(self.name, split)
            return
        for key, files in sample_vton.draw() if kind == "triplets" else sample_frames.draw():
            yield Files(key, files)


#: The splits of configs that have others than `test`.
_SPLITS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {"coco": sample_coco.COUNTS, "open-images": sample_open_images.COUNTS}
)


def _coco(split: str, limit: int | None) -> Iterator[Files]:
    """The images of a split of COCO's sample; with the first one come the annotations of all, up to the limit."""
    drawn = sample_coco.draw(limit)[split]
    labels = {f"annotations/{label}_{split}.json": data for label, data in drawn.labels.items()}
    for name, data in drawn.images.items():
        yield Files(f"{split}/{name}", {f"{split}/{name}": data, **labels})
        labels = {}


def _open_images(split: str, limit: int | None, with_lists: bool) -> Iterator[Files]:
    """The images of a split with their masks; with the first one come the rows of all, up to the limit, and the JSON.

    The lists, which are those of all splits, come `with_lists`.
    """
    drawn = sample_open_images.draw(split, limit)
    labels = {f"labels/{split}/{kind}.csv": data for kind, data in drawn.tables().items()}
    labels |= {f"labels/{name}": data for name, data in sample_open_images.lists().items() if with_lists}
    labels[f"annotations/instances_{split}.json"] = sample_open_images.instances(split, drawn)
    for name, data in drawn.images.items():
        masks = {f"masks/{split}/{path}": mask for path, mask in drawn.masks.items() if path.startswith(name)}
        yield Files(f"{split}/{name}", {f"{split}/{name}.jpg": data, **masks, **labels})
        labels = {}
