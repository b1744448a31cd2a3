"""A directory with a file that kills whoever reads it, as one may that a decoder or a file system cannot bear."""

import os
import signal

from visprep.stores.local import LocalStore


class Deadly(LocalStore):
    """A directory; who reads the file `deadly` of it dies at once."""

    def __init__(self, place, deadly):
        super().__init__(place)
        self.deadly = deadly

    async def fetch(self, file, sink):
        self._die_of(file.path)
        return await super().fetch(file, sink)

    async def hash(self, path, algorithm):
        self._die_of(path)
        return await super().hash(path, algorithm)

    def _die_of(self, path):
        if path == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
