"""The rules of keypoints in COCO JSON."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from visprep.findings import Level
from visprep.rules import Depth, Rule

H = Depth.HEADERS
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

KEYPOINTS_COUNT = Rule(
    "keypoints-count",
    Level.ERROR,
    H,
    "The `num_keypoints` of an annotation is not the number of its keypoints with a visibility above 0.",
    "pycocotools leaves out of the evaluation what has 0 of them: people are dropped, or count as missed.",
    "count them again",
    bad="num_keypoints 0, and a nose that is visible.",
    near="num_keypoints 0, and 51 zeros.",
)
KEYPOINTS_FORM = Rule(
    "keypoints-form",
    Level.ERROR,
    H,
    "The keypoints of an annotation are not x, y, v for each joint of its category.",
    "Every joint after the gap is read as another one; evaluation stops.",
    "write three numbers for each joint, zeros for those that are not labeled",
    bad="34 numbers for the 17 joints of a person: v is left out.",
    near="51 numbers.",
)
KEYPOINTS_OUTSIDE = Rule(
    "keypoints-outside-image",
    Level.WARNING,
    H,
    "A labeled keypoint lies more than a pixel outside of its image.",
    "It was computed for another size of the image, or x and y are swapped.",
    "compute it again, or set it to 0, 0, 0",
    bad="x is 700 in an image 640 pixels wide.",
    near="x is 640 there.",
)
KEYPOINTS_UNLABELLED = Rule(
    "keypoints-unlabelled",
    Level.WARNING,
    H,
    "A keypoint has visibility 0, not labeled, and yet a position.",
    "Some readers drop it, others train on it.",
    "write 0, 0, 0; or the visibility that was meant",
    bad="[120, 80, 0].",
    near="[120, 80, 1]: labeled, and hidden.",
)
KEYPOINTS_VISIBILITY = Rule(
    "keypoints-visibility",
    Level.ERROR,
    H,
    "The visibility of a keypoint is none of 0 (not labeled), 1 (hidden) and 2 (visible).",
    "A confidence was written where v should be: pycocotools counts all above 0 as labeled.",
    "write 0, 1 or 2",
    bad="[120, 80, 0.87].",
    near="[120, 80, 2.0].",
)

RULES: tuple[Rule, ...] = (
    KEYPOINTS_COUNT,
    KEYPOINTS_FORM,
    KEYPOINTS_OUTSIDE,
    KEYPOINTS_UNLABELLED,
    KEYPOINTS_VISIBILITY,
)

#: Notes a rule, words, and which of the annotations.
Say = Callable[[Rule, str, int, str], None]


def check(found: list[tuple[int, list[float], int | None]], sizes: tuple[Ints, Ints], say: Say) -> None:
    """Look at the keypoints of some annotations: which one, the numbers, and its `num_keypoints`.

    `sizes` are width and height of the image of every annotation, 0 where nobody knows.
    """
    whole = []
    for at, numbers, count in found:
        if len(numbers) % 3:
            say(KEYPOINTS_FORM, f"{len(numbers)} numbers are no x, y, v for each joint", at, "keypoints")
        elif numbers:
            whole.append((at, numbers, count))
        elif count:
            say(KEYPOINTS_COUNT, f"num_keypoints is {count}, and there are none", at, "num_keypoints")
    if not whole:
        return
    lengths = np.fromiter((len(numbers) // 3 for _, numbers, _ in whole), np.int64, len(whole))
    flat: Floats = np.array([one for _, numbers, _ in whole for one in numbers], np.float64).reshape(-1, 3)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    owners = np.repeat(np.arange(len(whole)), lengths)
    which = np.array([at for at, _, _ in whole])
    x, y, v = flat.T
    seen = np.add.reduceat((v > 0).astype(np.int64), starts)
    for at in np.flatnonzero(seen != [seen[k] if c is None else c for k, (_, _, c) in enumerate(whole)]).tolist():
        words = f"num_keypoints is {whole[at][2]}, {seen[at]} are labeled"
        say(KEYPOINTS_COUNT, words, int(which[at]), "num_keypoints")
    width, height = sizes[0][which][owners], sizes[1][which][owners]
    outside = (v > 0) & (width > 0) & ((x < -1) | (y < -1) | (x > width + 1) | (y > height + 1))
    checks = (
        (KEYPOINTS_VISIBILITY, (v != 0) & (v != 1) & (v != 2)),
        (KEYPOINTS_UNLABELLED, (v == 0) & ((x != 0) | (y != 0))),
        (KEYPOINTS_OUTSIDE, outside),
    )
    for rule, wrong in checks:
        told: set[int] = set()
        for at in np.flatnonzero(wrong).tolist():
            owner = int(owners[at])
            if owner not in told:
                told.add(owner)
                point = [float(one) for one in flat[at]]
                say(rule, f"keypoint {at - int(starts[owner]) + 1} is {point}", int(which[owner]), "keypoints")
