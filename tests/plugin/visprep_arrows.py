"""The source `arrows`: arrows, and how they lie after a turn."""

from types import MappingProxyType

from visprep.records import Skipped, Task
from visprep.sources import Shard, Upstream, check_names
from visprep.sources.hub_tables import bytes_of
from visprep.stores.hub import HubStore
from visprep.wire import wait

REPOSITORY = "example/arrows"


class Arrows:
    name = "arrows"
    title = "Arrows, and how they lie after a turn"
    license = "CC-BY-4.0"
    home = f"https://huggingface.co/datasets/{REPOSITORY}"
    splits = ("train", "test")
    default_splits = ("train",)
    configs = ()
    counts = MappingProxyType({"train": 6, "test": 3})

    def resolve(self, selection):
        check_names("split", selection.splits, self.splits, self.name)
        check_names("config", selection.configs, self.configs, self.name)
        store = HubStore(REPOSITORY, selection.revision)
        splits = selection.splits or self.default_splits
        shards = (Shard(wait(store.stat(f"{split}.parquet")), split, "default") for split in splits)
        return Upstream(store, tuple(shards), store.commit())

    def records(self, upstream, split, selection, access):
        for shard in upstream.shards:
            if shard.split == split:
                for number, row in enumerate(access.rows(shard)):
                    yield self.record(split, number, row)

    def record(self, split, number, row):
        before, after = bytes_of(row["before"]), bytes_of(row["after"])
        if before is None:
            return Skipped(f"{split} row {number}", "no first frame")
        return Task(
            domain="arrows",
            id=f"arrows_{split}_{number:05d}",
            prompt=f"Turn the arrow by {row['degrees']} degrees.",
            first_frame=before,
            final_frame=after,
            metadata={"source": self.name, "split": split, "row": number, "degrees": row["degrees"]},
        )
