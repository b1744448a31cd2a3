"""Files that lie each at a web address of its own, as the originals of photographs do."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from visprep.errors import FileMissing
from visprep.manifest import File
from visprep.messages import Response
from visprep.stores.http import HttpStore
from visprep.wire import Sink


class AddressStore(HttpStore):
    """A read-only store of the files of `urls`, path -> address.

    Some hosts show a `placeholder` for a file that is gone, and call that a success: an answer that comes from an
    address which has these letters in it is FileMissing.
    """

    def __init__(self, urls: Mapping[str, str], placeholder: str | None = None) -> None:
        super().__init__("https://localhost")  # nothing is asked for there: each file has its own address
        self.place = "its own address"
        self._urls, self._placeholder = urls, placeholder

    def address(self, path: str) -> str | None:
        """The address of a file, as it was told."""
        return self._urls.get(path)

    def of(self, urls: Mapping[str, str]) -> AddressStore:
        """The like, for these files."""
        return AddressStore(urls, self._placeholder)

    async def fetch(self, file: File, sink: Sink) -> None:
        """See `Store.fetch`. FileMissing when a placeholder came."""
        try:
            await super().fetch(file, sink)
        except FileMissing:
            sink.restart()  # it may hold the placeholder
            raise

    def _url(self, path: str) -> str:
        url = self._urls.get(path, "")
        try:
            parts = urlsplit(url)
        except ValueError:  # brackets that are no IPv6 address
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise FileMissing(f"{path}: {url!r} is no web address")
        return url

    def _expect(self, path: str, response: Response) -> None:
        super()._expect(path, response)
        if self._placeholder and self._placeholder in response.url:
            raise FileMissing(
                f"{path}: it is gone from {self._url(path)}, where a placeholder is shown",
                hint="the bucket still has it, in 1,024 pixels: leave out --original",
            )
