"""Which of the files that a manifest misses are told already, as what a record lacks."""

from __future__ import annotations

from bisect import bisect
from collections import defaultdict
from collections.abc import Iterable

from visprep.findings import Finding
from visprep.formats import episodes, triplets, yolo
from visprep.rules import coco_files, files, image_files, open_images, prompts, tasks, yolo_data
from visprep.rules.episodes import EPISODE_GAP
from visprep.rules.triplets import TRIPLET_INCOMPLETE
from visprep.rules.voc_sets import VOC_IMAGE_MISSING
from visprep.rules.yolo import YOLO_LABEL_UNUSED

#: What the rules of data and the rules of files say of one and the same fault.
SAME_FAULT = {
    coco_files.IMAGE_MISSING.code: files.FILE_MISSING.code,
    image_files.IMAGE_EMPTY.code: files.FILE_SIZE.code,
    image_files.IMAGE_UNREADABLE.code: files.FILE_UNREADABLE.code,
    open_images.BOXES_WITHOUT_JSON.code: files.FILE_MISSING.code,
    open_images.MASK_LOST.code: files.FILE_MISSING.code,
    open_images.TABLE_MISSING.code: files.FILE_MISSING.code,
    prompts.PROMPT_EMPTY.code: files.FILE_SIZE.code,
    tasks.TASK_FILE_EMPTY.code: files.FILE_SIZE.code,
    tasks.TASK_FILE_MISSING.code: files.FILE_MISSING.code,
    tasks.TASK_FILE_UNREADABLE.code: files.FILE_UNREADABLE.code,
    yolo_data.YOLO_IMAGE_MISSING.code: files.FILE_MISSING.code,
}


class Absences:
    """What is told to be missing without the name that it had.

    Frames are told by number, pictures of triplets by stem, images of YOLO and VOC by what is told of them.
    """

    def __init__(self, findings: Iterable[Finding]) -> None:
        gaps: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        self._pictures: set[tuple[str, str]] = set()
        self._labels: set[str] = set()
        self._images: set[str] = set()
        for one in findings:
            if one.code == EPISODE_GAP.code:
                first, _, last = one.where["id"].partition("-")
                gaps[one.where["episode"]].append((int(first), int(last or first)))
            elif one.code == TRIPLET_INCOMPLETE.code:
                self._pictures.add((one.path.rpartition("/")[0], one.where["triplet"].rpartition("/")[2]))
            elif one.code == YOLO_LABEL_UNUSED.code:
                self._labels.add(one.path)
            elif one.code == VOC_IMAGE_MISSING.code:
                self._images.add(one.where.get("file", "").rpartition(".")[0])
        self._gaps = {episode: sorted(numbers) for episode, numbers in gaps.items()}

    def hold(self, path: str) -> bool:
        """Whether a file of that path is one of these."""
        folder = path.rpartition("/")[0]
        if any((folder, stem) in self._pictures for stem in triplets.stems_of(path)):
            return True
        if yolo.is_image(path) and (yolo.label_of(path) in self._labels or path.rpartition(".")[0] in self._images):
            return True
        gaps, number = self._gaps.get(folder or "."), episodes.number_of(path)
        if gaps is None or number is None:
            return False
        at = bisect(gaps, number, key=lambda gap: gap[0])
        return at > 0 and number <= gaps[at - 1][1]
