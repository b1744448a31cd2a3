"""What a command asks of servers: requests, the bytes of their answers, and about what AWS takes for that."""

from __future__ import annotations

import contextlib
import contextvars
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

#: Dollars of S3 Standard in us-east-1: for a listing of 1,000 keys or fewer, for any other request that reads, and for
#: each byte that leaves AWS for the internet (in the first 10 TB of a month; within a region bytes are free). AWS keeps
#: its prices at https://aws.amazon.com/s3/pricing/; these are as others quote them (the tests of github.com/infracost;
#: c3x.dev/blog/s3-request-fees-explained), last looked up on `PRICES_OF`. Other regions, classes and vendors differ.
LISTING, READING, LEAVING = 0.005 / 1_000, 0.0004 / 1_000, 0.09 / 1_000_000_000
PRICES_OF = "2026-11-22"


@dataclass(slots=True)
class Traffic:
    """Requests, retries among them; how many of them were listings; and the bytes in the bodies of their answers."""

    requests: int = 0
    listings: int = 0
    bytes: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.requests + other.requests, self.listings + other.listings, self.bytes + other.bytes)

    @property
    def request_dollars(self) -> float:
        """What AWS takes for the requests, about."""
        return self.listings * LISTING + (self.requests - self.listings) * READING

    @property
    def transfer_dollars(self) -> float:
        """What AWS takes for the bytes, about, where they leave for the internet."""
        return self.bytes * LEAVING


_meters: contextvars.ContextVar[tuple[Traffic, ...]] = contextvars.ContextVar("meters", default=())


@contextlib.contextmanager
def metered() -> Iterator[Traffic]:
    """Within it, all that this thread asks of servers is counted in what it gives."""
    meter = Traffic()
    token = _meters.set((*_meters.get(), meter))
    try:
        yield meter
    finally:
        _meters.reset(token)


def add(asked: Traffic) -> None:
    """Count what another process has asked of servers for this one."""
    for meter in _meters.get():
        meter.requests += asked.requests
        meter.listings += asked.listings
        meter.bytes += asked.bytes


def note(log: logging.Logger, curl: Any, request: Any, status: int) -> None:
    """Count an attempt at a request that has ended, and log it."""
    import pycurl  # reports carry traffic, and are known where nothing is asked of servers

    for meter in _meters.get():
        meter.requests += 1
        meter.listings += "list-type=2" in request.url
        meter.bytes += curl.getinfo(pycurl.SIZE_DOWNLOAD_T)
    if log.isEnabledFor(logging.DEBUG):
        took = curl.getinfo(pycurl.TOTAL_TIME)
        log.debug("%s %s %s %.3f s", request.method, request.shown, status or "no answer", took)
