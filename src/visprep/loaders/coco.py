"""`CocoS3Dataset`: images and their annotations, as a COCO JSON file tells of them."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from visprep.errors import UsageError, WrongContent
from visprep.loaders.clients import understand
from visprep.loaders.coco_index import CocoIndex
from visprep.loaders.collating import collate_detection, collate_samples
from visprep.loaders.dataset import HandleErrors, ImageDataset
from visprep.loaders.fetch import ImageFile
from visprep.loaders.image_roots import address, root_of
from visprep.loaders.in_python import told_in_python
from visprep.loaders.targets import TARGET_FORMATS, TargetFormat, target_of, tv_tensors
from visprep.loaders.warned import warn
from visprep.settings import S3Settings

__all__ = ["CocoS3Dataset"]


class CocoS3Dataset(ImageDataset):
    """The images of a COCO JSON file, on S3, on the web or on disk: `(image, {"image_info", "annotations"})` each.

    `annotation_file` is a path, `s3://bucket/key` or `https://...`; what it says when the dataset is made counts for
    as long as the dataset lives. `file_name`s may be `s3://`, `https://`, absolute, or relative: to `image_root`, else
    to what is found near the file. `image` is an upright RGB image of Pillow, or what `transform` makes of it;
    `image_info` and `annotations` are the records, with all that they say.

    With `target_format` the second is a target for detection: see `targets.target_of`; `masks=False` leaves out the
    masks, which are large. `target_transform` gets the second, `transforms` both, and gives both.

    The file is read whole at the first time; an index of it is kept in `index_dir` (`~/.cache/visprep/index`), which
    all workers and later runs share. All other arguments are those of every dataset: `ImageDataset`.

    FileMissing, WrongContent and what else a store raises when the file cannot be read, UsageError when arguments
    contradict each other.
    """

    @told_in_python
    def __init__(
        self,
        annotation_file: str | os.PathLike[str],
        transform: Callable[[Any], Any] | None = None,
        handle_errors: HandleErrors = "skip",
        s3_client: Any = None,
        *,
        image_root: str | os.PathLike[str] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        transforms: Callable[[Any, Any], tuple[Any, Any]] | None = None,
        target_format: TargetFormat | None = None,
        masks: bool = True,
        index_dir: str | os.PathLike[str] | None = None,
        settings: S3Settings | None = None,
        **shared: Any,
    ) -> None:
        if transforms is not None and (transform is not None or target_transform is not None):
            raise UsageError(
                "transforms= takes image and target together, transform= and target_transform= one each",
                hint="give the one, or the others",
            )
        if target_format is not None:
            _expect_plain_pixels(target_format, shared)
        if not isinstance(annotation_file, (str, os.PathLike)):
            raise UsageError(
                f"annotation_file={reprlib.repr(annotation_file)}",
                hint="it is the path, s3:// or https:// name of a COCO JSON file",
            )
        access = understand(s3_client, settings)
        super().__init__(s3_client=s3_client, settings=settings, handle_errors=handle_errors, **shared)
        self.index = CocoIndex(_published(os.fspath(annotation_file), access), access=access, index_dir=index_dir)
        self.origins = ((self.index.name, None),)
        self.transform, self.target_transform, self.transforms = transform, target_transform, transforms
        self.target_format, self.masks = target_format, masks
        self._root = root_of(self.index, image_root, access if isinstance(access, S3Settings) else None)
        self._warn()

    def __len__(self) -> int:
        return len(self.index)

    def __getitems__(self, indices: list[int]) -> list[Any]:
        """See `ImageDataset`; ChangedMeanwhile when the annotation file on disk was written over."""
        self.index.check_same()
        return super().__getitems__(indices)

    def files_of(self, index: int) -> Sequence[ImageFile]:
        """The image of a sample."""
        return (ImageFile(address(self.index.file_name(index), self._root)),)

    def sample_of(self, index: int, images: list[Any]) -> tuple[Any, Any]:
        """The image, and its annotations or target, after the transforms."""
        (image,) = images
        info, annotations = self.index.image(index), self.index.annotations(index)
        target: Any = {"image_info": info, "annotations": annotations}
        if self.target_format is not None:
            try:
                target = target_of(info, annotations, _size(image), self.target_format, masks=self.masks)
            except WrongContent as problem:
                raise WrongContent(f"{self.index.name}: {problem.message}", hint=problem.hint) from None
        if self.transforms is not None:
            image, target = self.transforms(image, target)
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return image, target

    def first_transform(self) -> Any:
        """`transform`, unless a target or `transforms` refer to the image as it is stored."""
        return None if self.transforms is not None or self.target_format is not None else self.transform

    @property
    def collate(self) -> Callable[[Sequence[Any]], Any]:
        """What makes batches of its samples: `collate_detection` with a `target_format`, else `collate_samples`."""
        return collate_samples if self.target_format is None else collate_detection

    def get_categories(self) -> list[dict[str, Any]]:
        """The categories of the file, with all that they say."""
        return self.index.categories

    def get_image_info(self, idx: int) -> dict[str, Any]:
        """The record of an image, with all that it says; IndexError when there is none of that number."""
        return self.index.image(self._in_range(idx))

    @property
    def image_ids(self) -> npt.NDArray[np.int64]:
        """The ids of the images, by their numbers."""
        return self.index.image_ids

    def _warn(self) -> None:
        strays = self.index.strays
        if strays:
            warn(
                f"{self.index.name}: {strays:,} annotations belong to images that are not in it, and are left out; the "
                f"first such image is {self.index.stray}"
            )
        if self.target_format is not None and any(one.get("id") == 0 for one in self.get_categories()):
            warn(
                f"{self.index.name}: a category has the id 0, which torchvision's models take for the background; "
                "target_transform= can give others"
            )


def _size(image: Any) -> tuple[int, int]:
    """Width and height of an image, or of the tensor of one."""
    return image.size if isinstance(image, Image.Image) else (image.shape[2], image.shape[1])


def _expect_plain_pixels(target_format: str, shared: dict[str, Any]) -> None:
    if target_format not in TARGET_FORMATS:
        raise UsageError(f"target_format={target_format!r}", hint=f"it is one of: {', '.join(TARGET_FORMATS)}")
    if target_format == "tv_tensors":
        tv_tensors()
    if shared.get("exif", "keep") != "keep" or shared.get("shrink_to", "auto") not in ("auto", None):
        raise UsageError(
            "boxes and masks are those of the image as it is stored, so it can be neither turned nor shrunk before",
            hint="leave out exif= and shrink_to=; transforms= changes both together",
        )


def _published(name: str, access: object) -> str:
    """The file that counts for this name: below a published place, that of its version."""
    if not name.startswith("s3://") or not isinstance(access, S3Settings):
        return name
    from visprep.stores.published import annotation_url

    return annotation_url(name, access)
