"""visprep prepares vision datasets: download, verify, and move them between upstream, disk, and S3.

Everything public is here, loaded at first use: `import visprep` itself imports nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from visprep.lazy_names import lazy_names

if TYPE_CHECKING:
    from visprep._coco_dataset import CocoDataset, verify_coco_dataset
    from visprep._convert import convert
    from visprep._demo import demo
    from visprep._diff import diff
    from visprep._doctor import Check, Checkup, doctor
    from visprep._download import download
    from visprep._explain import Page, explain
    from visprep._export_metadata import ExportedMetadata, export_metadata
    from visprep._fix import FixResult, fix
    from visprep._gather import GatherResult, gather
    from visprep._leaks import LeaksResult, PartLooked, leaks
    from visprep._ls import ls
    from visprep._publish import PublishResult, publish
    from visprep._rebuild import rebuild
    from visprep._report import ReportResult, report
    from visprep._sources import list_sources
    from visprep._split import SplitResult, split
    from visprep._stats import stats
    from visprep._status import Status, status
    from visprep._sync import sync
    from visprep._upload import upload
    from visprep._verify import verify
    from visprep.converting import ConvertResult
    from visprep.differences import (
        AnnotationDifference,
        CategoryDifference,
        DocumentDifference,
        FieldChange,
        FileDifference,
        ImageDifference,
        NotCompared,
        PromptDifference,
        RenumberedDifference,
        SplitDifference,
        TaskDifference,
    )
    from visprep.errors import VisprepError
    from visprep.findings import Finding, Level, Report
    from visprep.images import convert_to_pil_image, load_from_path, numpy_to_pil
    from visprep.loaders import (
        CocoS3Dataset,
        FrameDataset,
        ImageCache,
        S3VTONDataset,
        S3VTONDatasetEasy,
        S3VTONDatasetHard,
        S3VTONDatasetMedium,
        get_vton_dataset,
        make_loader,
    )
    from visprep.manifest import File, Manifest
    from visprep.rebuilding import RebuildResult
    from visprep.records import Task
    from visprep.runs import RunStore
    from visprep.settings import S3Settings
    from visprep.statistics import (
        ClassStats,
        CopyStats,
        Histogram,
        PromptStats,
        SampleStats,
        SizeStats,
        SplitStats,
        Stats,
        TextCount,
    )
    from visprep.stores import open_store
    from visprep.validate import (
        task_data_findings,
        task_directory_findings,
        validate_task_data,
        validate_task_directory,
    )

#: public name -> the module that defines it
_HOMES = {
    "AnnotationDifference": "differences",
    "CategoryDifference": "differences",
    "Check": "_doctor",
    "Checkup": "_doctor",
    "ClassStats": "statistics",
    "CocoDataset": "_coco_dataset",
    "CocoS3Dataset": "loaders",
    "ConvertResult": "converting",
    "CopyStats": "statistics",
    "DocumentDifference": "differences",
    "ExportedMetadata": "_export_metadata",
    "FieldChange": "differences",
    "File": "manifest",
    "FileDifference": "differences",
    "Finding": "findings",
    "FixResult": "_fix",
    "FrameDataset": "loaders",
    "GatherResult": "_gather",
    "Histogram": "statistics",
    "ImageCache": "loaders",
    "ImageDifference": "differences",
    "LeaksResult": "_leaks",
    "Level": "findings",
    "Manifest": "manifest",
    "NotCompared": "differences",
    "Page": "_explain",
    "PartLooked": "_leaks",
    "PromptDifference": "differences",
    "PromptStats": "statistics",
    "PublishResult": "_publish",
    "RebuildResult": "rebuilding",
    "RenumberedDifference": "differences",
    "Report": "findings",
    "ReportResult": "_report",
    "RunStore": "runs",
    "S3Settings": "settings",
    "S3VTONDataset": "loaders",
    "S3VTONDatasetEasy": "loaders",
    "S3VTONDatasetHard": "loaders",
    "S3VTONDatasetMedium": "loaders",
    "SampleStats": "statistics",
    "SizeStats": "statistics",
    "SplitDifference": "differences",
    "SplitResult": "_split",
    "SplitStats": "statistics",
    "Stats": "statistics",
    "Status": "_status",
    "Task": "records",
    "TaskDifference": "differences",
    "TextCount": "statistics",
    "VisprepError": "errors",
    "convert": "_convert",
    "convert_to_pil_image": "images",
    "demo": "_demo",
    "diff": "_diff",
    "doctor": "_doctor",
    "download": "_download",
    "explain": "_explain",
    "export_metadata": "_export_metadata",
    "fix": "_fix",
    "gather": "_gather",
    "get_vton_dataset": "loaders",
    "leaks": "_leaks",
    "list_sources": "_sources",
    "load_from_path": "images",
    "ls": "_ls",
    "make_loader": "loaders",
    "numpy_to_pil": "images",
    "open_store": "stores",
    "publish": "_publish",
    "rebuild": "_rebuild",
    "report": "_report",
    "split": "_split",
    "stats": "_stats",
    "status": "_status",
    "sync": "_sync",
    "task_data_findings": "validate",
    "task_directory_findings": "validate",
    "upload": "_upload",
    "validate_task_data": "validate",
    "validate_task_directory": "validate",
    "verify": "_verify",
    "verify_coco_dataset": "_coco_dataset",
}

__all__ = [
    "AnnotationDifference",
    "CategoryDifference",
    "Check",
    "Checkup",
    "ClassStats",
    "CocoDataset",
    "CocoS3Dataset",
    "ConvertResult",
    "CopyStats",
    "DocumentDifference",
    "ExportedMetadata",
    "FieldChange",
    "File",
    "FileDifference",
    "Finding",
    "FixResult",
    "FrameDataset",
    "GatherResult",
    "Histogram",
    "ImageCache",
    "ImageDifference",
    "LeaksResult",
    "Level",
    "Manifest",
    "NotCompared",
    "Page",
    "PartLooked",
    "PromptDifference",
    "PromptStats",
    "PublishResult",
    "RebuildResult",
    "RenumberedDifference",
    "Report",
    "ReportResult",
    "RunStore",
    "S3Settings",
    "S3VTONDataset",
    "S3VTONDatasetEasy",
    "S3VTONDatasetHard",
    "S3VTONDatasetMedium",
    "SampleStats",
    "SizeStats",
    "SplitDifference",
    "SplitResult",
    "SplitStats",
    "Stats",
    "Status",
    "Task",
    "TaskDifference",
    "TextCount",
    "VisprepError",
    "convert",
    "convert_to_pil_image",
    "demo",
    "diff",
    "doctor",
    "download",
    "explain",
    "export_metadata",
    "fix",
    "gather",
    "get_vton_dataset",
    "leaks",
    "list_sources",
    "load_from_path",
    "ls",
    "make_loader",
    "numpy_to_pil",
    "open_store",
    "publish",
    "rebuild",
    "report",
    "split",
    "stats",
    "status",
    "sync",
    "task_data_findings",
    "task_directory_findings",
    "upload",
    "validate_task_data",
    "validate_task_directory",
    "verify",
    "verify_coco_dataset",
]


__getattr__ = lazy_names(__name__, _HOMES, globals())


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
