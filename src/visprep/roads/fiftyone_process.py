"""The program that calls FiftyOne's function: a process of its own, which may print, start threads, hang or end.

It is run by its path and knows nothing of visprep. Each line that it reads is a request (`folder`, `split`, `ids`,
`workers`), each line that it writes an answer: `ready`, or `refused`, which says of images what FiftyOne said of each,
or `failed`, when it failed for another reason. It ends with its input, so with the process that began it.
"""

import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

#: HTTP's words for a file that is not there, or not for us.
_REFUSED = (403, 404)
#: So many images refused and not one given: it is not about the images.
_HOPELESS = 20


class Hopeless(Exception):
    """Everything is refused."""


def main() -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # what FiftyOne prints is no answer

    def answer(**said: Any) -> None:
        answers.write(json.dumps(said) + "\n")

    requests: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    try:
        from fiftyone.utils.openimages import download_open_images_split

        answer(ready=True)
        bringing = Bringing(download_open_images_split)
        while True:
            answer(refused=bringing.bring(**json.loads(requests.get())))
    except BaseException as problem:  # it may exit, too
        answer(failed=f"{type(problem).__name__}: {problem}")
        os._exit(1)


def _listen(requests: "queue.Queue[str]") -> None:
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)  # nobody waits for what is under way


class Bringing:
    """What came of FiftyOne's function, which ends for all images at the first that it cannot have."""

    def __init__(self, download: Callable[..., Any]) -> None:
        self._download = download
        self._given = self._refusals = 0

    def bring(self, folder: str, split: str, ids: list[str], workers: int | None) -> dict[str, tuple[int, str]]:
        """Bring images to `folder/data`; of those that were refused, why."""
        refused: dict[str, tuple[int, str]] = {}
        parts = [ids]
        while parts:
            part = parts.pop()
            try:
                self._download(
                    folder,
                    split,
                    version="v7",
                    label_types=[],
                    image_ids=[f"{split}/{one}" for one in part],
                    num_workers=workers,
                )
            except Exception as problem:
                status = next(_statuses(problem), None)
                if status is None:
                    raise
                left = [one for one in part if not Path(folder, "data", f"{one}.jpg").is_file()]
                self._given += len(part) - len(left)
                if len(left) == 1:
                    refused[left[0]] = (status, str(problem))
                    self._refusals += 1
                    if self._refusals >= _HOPELESS and not self._given:
                        raise Hopeless(f"all is refused: {problem}") from problem
                elif left:
                    parts += [left[: len(left) // 2], left[len(left) // 2 :]]
            else:
                self._given += len(part)
        return refused


def _statuses(problem: BaseException | None) -> Iterator[int]:
    """What the bucket answered, where an error came of that."""
    while problem is not None:
        answer = getattr(problem, "response", None)
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(answer, dict) else None
        if status in _REFUSED:
            yield status
        problem = problem.__cause__ or problem.__context__


if __name__ == "__main__":
    main()
