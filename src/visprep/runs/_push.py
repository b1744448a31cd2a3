"""`runs push`: runs of a directory to another place."""

from __future__ import annotations

import os
from pathlib import Path

from visprep.engines.local import check_count
from visprep.errors import PlaceMissing, UsageError, VisprepError
from visprep.manifest import File
from visprep.progress import OnProgress, unheard
from visprep.runs import foreign
from visprep.runs.carrying import Carried, Carrier
from visprep.runs.checkpoints import read_index
from visprep.runs.event_files import EventShipper
from visprep.runs.layout import RunLayout
from visprep.runs.log_pieces import LogShipper
from visprep.runs.run_address import RunAddress, chosen, find, meant, open_runs
from visprep.settings import S3Settings
from visprep.stores import is_archive
from visprep.stores.local import LocalStore
