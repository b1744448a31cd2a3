"""Training straight from S3: datasets for PyTorch whose images stay where they are, and what makes batches of them.

Everything is loaded at first use; what needs PyTorch raises MissingExtra where it is not installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from visprep.lazy_names import lazy_names

if TYPE_CHECKING:
    from visprep.loaders.cache import ImageCache
    from visprep.loaders.coco import CocoS3Dataset
    from visprep.loaders.collating import collate_detection, collate_samples, collate_tensors
    from visprep.loaders.frames import FrameDataset
    from visprep.loaders.loader import Loader, make_loader
    from visprep.loaders.vton import (
        S3VTONDataset,
        S3VTONDatasetEasy,
        S3VTONDatasetHard,
        S3VTONDatasetMedium,
        get_vton_dataset,
    )
    from visprep.loaders.warned import DatasetWarning, LookAheadLost

#: public name -> the module that defines it
_HOMES = {
    "CocoS3Dataset": "coco",
    "DatasetWarning": "warned",
    "FrameDataset": "frames",
    "ImageCache": "cache",
    "Loader": "loader",
    "LookAheadLost": "warned",
    "S3VTONDataset": "vton",
    "S3VTONDatasetEasy": "vton",
    "S3VTONDatasetHard": "vton",
    "S3VTONDatasetMedium": "vton",
    "collate_detection": "collating",
    "collate_samples": "collating",
    "collate_tensors": "collating",
    "get_vton_dataset": "vton",
    "make_loader": "loader",
}

__all__ = [
    "CocoS3Dataset",
    "DatasetWarning",
    "FrameDataset",
    "ImageCache",
    "Loader",
    "LookAheadLost",
    "S3VTONDataset",
    "S3VTONDatasetEasy",
    "S3VTONDatasetHard",
    "S3VTONDatasetMedium",
    "collate_detection",
    "collate_samples",
    "collate_tensors",
    "get_vton_dataset",
    "make_loader",
]


__getattr__ = lazy_names(__name__, _HOMES, globals())


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
