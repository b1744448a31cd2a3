"""`runs tensorboard`: the events of runs on this machine, and the command that shows them."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass

from visprep.engines.local import check_count
from visprep.progress import OnProgress, unheard
from visprep.runs._pull import pull
from visprep.runs.layout import RunLayout
from visprep.runs.run_address import chosen, files_below, find
from visprep.settings import S3Settings
from visprep.stores.local import LocalStore


@dataclass(frozen=True, slots=True)
class EventsPulled:
    """Where TensorBoard's events are on this machine, the command that shows them, and what was fetched for it.

    `moved` and `bytes` came, `kept` are the files that were here already.
    """

    directory: str
    command: str
    moved: int = 0
    kept: int = 0
    bytes: int = 0


def tensorboard(
    place: str | os.PathLike[str],
    output: str | os.PathLike[str] = "data/runs",
    *,
    experiment: str | None = None,
    jobs: int | None = None,
    layout: RunLayout | None = None,
    s3: S3Settings | None = None,
    progress: OnProgress = unheard,
) -> EventsPulled:
    """Fetch the events of the runs of a place, or of one, below `output`; of a directory, they stay where they are.

    TensorBoard shows what comes while it runs: fetch again, and it has the rest. Raises what `pull` does.
    """
    check_count("jobs", jobs)
    layout = layout or RunLayout()
    address = find(place, layout, experiment, s3)
    home, moved, kept, size = os.fspath(output), 0, 0, 0
    if isinstance(address.store, LocalStore):
        kept = sum(len(files_below(address.store, layout.events(one))) for one in chosen(address, layout))
        home = address.store.place
    else:
        done = pull(
            address.store.place, output, experiment=address.experiment, only="tensorboard", jobs=jobs, layout=layout,
            s3=s3, progress=progress,
        )  # fmt: skip
        moved, kept, size = done.moved, done.kept, done.bytes
    name = address.experiment
    below = layout.events(name) if name else layout.tensorboard_prefix
    directory = os.path.normpath(f"{home}/{below}")
    return EventsPulled(directory, f"tensorboard --logdir {shlex.quote(directory)}", moved, kept, size)
