"""TensorBoard's event files: what was written since goes up as files of its own, cut between records."""

from __future__ import annotations

from pathlib import Path

from visprep.stores import Store


class EventShipper:
    """Sends what a `SummaryWriter` writes below a directory to `path` of a place, each byte once.

    The first piece of an event file has its name, later ones `{name}.{n:06d}`; TensorBoard reads them in order.
    """

    def __init__(self, local_dir: Path, store: Store, path: str, *, piece: int = 8 * 1024 * 1024) -> None:
        raise NotImplementedError

    def ship(self, *, whole: bool = False) -> int:
        """Send all whole records that are not there yet; the bytes that were sent.

        What a killed process left unsent goes too. With `whole`, also files that are no event files and changed again.
        Raises StoreError, NetworkError or CredentialsError; calling it again goes on where it ended.
        """
        raise NotImplementedError
