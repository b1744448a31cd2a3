"""Images on their way here: from S3, the web and the disk, through forks, errors and the end of the process."""

from __future__ import annotations

from loader_places import Photographs, number_of, photographs, s3_process  # noqa: F401
from visprep.loaders.decoding import decode
from visprep.loaders.fetch import Fetcher, ImageFile


def test_what_comes_is_what_lies_there(photographs: Photographs) -> None:  # noqa: F811
    fetcher = Fetcher(photographs.settings)
    futures = [fetcher.submit(ImageFile(url)) for url in photographs.urls]
    assert tuple(future.result(10) for future in futures) == photographs.data
    assert [number_of(decode(data)) for data in photographs.data] == list(range(24))
    fetcher.close()
