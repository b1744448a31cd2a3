"""data.yaml of YOLO: where the images of each part are, and what the classes are called.

Only YAML's plain values are read: nothing is made of tags; lists and mappings that are used twice by an alias, which
can stand for more than any memory holds, are refused, and so is a file of more than a megabyte.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from visprep.errors import WrongContent
from visprep.formats.yolo import Keypoints

#: The parts that ultralytics knows.
PARTS = ("train", "val", "test", "minival")
#: Bytes that a data file may have: the names of 20,000 classes have half of it.
LONGEST = 1_000_000
#: What a name may be called in older files.
_VALIDATION = "validation"
_KNOWN = frozenset({*PARTS, _VALIDATION, "path", "names", "nc", "kpt_shape", "flip_idx"})
_MOST_CLASSES = 1_000_000


@dataclass(frozen=True, slots=True)
class YoloData:
    """What a data file says.

    `path` is the directory that its parts are relative to, as written, None where it says none. `parts` are the
    directories and list files of each part, as written; `names` those of the classes by their number; `count` is how
    many classes there are, None where nothing tells. `keypoints` is `kpt_shape`, `flip` is `flip_idx`. `others` are
    all other values at the top, and `lines` the line of each value at the top, by its key, and of each part's first.
    """

    path: str | None = None
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    count: int | None = None
    keypoints: Keypoints | None = None
    flip: tuple[int, ...] = ()
    others: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DataFault:
    """What is wrong with a data file: `kind` is `form`, `count`, `index`, `name` or `repeated`."""

    line: int
    kind: str
    key: str
    words: str


def read(data: bytes) -> tuple[YoloData, list[DataFault]]:
    """What a data file says, and what is wrong with it; WrongContent, with the line, for what is no mapping in YAML."""
    root = _composed(data)
    reader = _Reader()
    return reader.read(root), reader.faults


def looks_like_one(data: bytes) -> bool:
    """Whether a YAML file tells of classes, and of a part with images."""
    try:
        found = _Reader()
        found.read(_composed(data))
    except WrongContent:
        return False
    keys = found.lines.keys()
    return not keys.isdisjoint(("names", "nc")) and not keys.isdisjoint((*PARTS, _VALIDATION))


def _composed(data: bytes) -> yaml.MappingNode:
    if len(data) > LONGEST:
        raise WrongContent(f"it has {len(data):,} bytes; {LONGEST:,} are the most")
    try:
        node = yaml.compose(data.decode("utf-8-sig"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise WrongContent(f"line {line}: byte {problem.start} is not UTF-8") from None
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise WrongContent(f"{where}{problem.problem or problem.context}") from None
    except yaml.YAMLError as problem:  # characters that YAML does not have
        raise WrongContent(str(problem).splitlines()[0]) from None
    except RecursionError:
        raise WrongContent("its values are nested too deeply") from None
    if not isinstance(node, yaml.MappingNode):
        raise WrongContent("it is no mapping of keys to values")
    _refuse_aliases(node)
    return node


def _refuse_aliases(root: yaml.Node) -> None:
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.ScalarNode):
            continue
        if id(node) in seen:
            raise WrongContent(f"line {_line(node)}: what begins here is used again by an alias, which is not read")
        seen.add(id(node))
        waiting += itertools.chain(*node.value) if isinstance(node, yaml.MappingNode) else node.value


class _Reader:
    """One look at a data file."""

    def __init__(self) -> None:
        self.faults: list[DataFault] = []
        self.lines: dict[str, int] = {}

    def read(self, root: yaml.MappingNode) -> YoloData:
        """What it says."""
        values: dict[str, yaml.Node] = {}
        for key_node, node in root.value:
            key = _text(key_node)
            if key is None:
                self._fault("form", "", "a key is no text", key_node)
                continue
            if key in values:
                self._fault("form", key, f"{key!r} is there twice, and readers take the last", key_node)
            values[key] = node
            self.lines[key] = _line(key_node)
        if _VALIDATION in values and "val" not in values:
            values["val"] = values.pop(_VALIDATION)
            self.lines["val"] = self.lines[_VALIDATION]
        names = self._names(values["names"]) if "names" in values else None
        count = self._count(values.get("nc"), names)
        if names is not None and any(fault.kind == "index" for fault in self.faults):
            count = None  # nobody knows which numbers are meant
        for key in ("train", "val"):
            if key not in values:
                self._fault("form", key, f"there is no {key!r} in it", root)
        if values.keys().isdisjoint(("names", "nc")):
            self._fault("form", "names", "there is neither 'names' nor 'nc' in it", root)
        return YoloData(
            path=self._path(values.get("path")),
            parts={part: found for part in PARTS if part in values and (found := self._part(part, values[part]))},
            names=names or {},
            count=count,
            keypoints=self._keypoints(values.get("kpt_shape")),
            flip=self._flip(values.get("flip_idx")),
            others={key: plain(node) for key, node in values.items() if key not in _KNOWN},
            lines=dict(self.lines),
        )

    def _fault(self, kind: str, key: str, words: str, node: yaml.Node) -> None:
        self.faults.append(DataFault(_line(node), kind, key, words))

    def _path(self, node: yaml.Node | None) -> str | None:
        if node is None or _null(node):
            return None
        text = _text(node)
        if text is None:
            self._fault("form", "path", "'path' is no text", node)
        return text

    def _part(self, part: str, node: yaml.Node) -> tuple[str, ...]:
        if _null(node):
            if part in ("train", "val"):
                self._fault("form", part, f"{part!r} is empty", node)
            return ()
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found = [text for item in items if (text := _text(item)) and not _null(item)]
        if len(found) != len(items) or not found:
            self._fault("form", part, f"{part!r} is no path, and no list of paths", node)
        return tuple(found)

    def _names(self, node: yaml.Node) -> dict[int, str] | None:
        names: dict[int, str] = {}
        if isinstance(node, yaml.SequenceNode):
            for number, item in enumerate(node.value):
                self._name(names, number, item)
        elif isinstance(node, yaml.MappingNode):
            for key, item in node.value:
                told = _index(key)
                if told is None:
                    self._fault("index", "names", f"{_shown(key)} is no number of a class", key)
                    continue
                if told in names:
                    self._fault("index", "names", f"class {told} has two names, and readers take the last", key)
                self._name(names, told, item)
            beyond = [number for number in names if not 0 <= number < len(node.value)]
            if beyond:
                words = f"there are {len(node.value)} names, and one is of class {min(beyond, key=_far)}"
                self._fault("index", "names", f"{words}: classes count from 0, without a gap", node)
        else:
            self._fault("form", "names", "'names' is no list, and no mapping of numbers to names", node)
            return None
        lines: dict[str, int] = {}
        for number, name in names.items():
            if name in lines:
                self._fault("repeated", "names", f"{name!r} is the name of class {lines[name]} and {number}", node)
            lines.setdefault(name, number)
        return names

    def _name(self, names: dict[int, str], number: int, node: yaml.Node) -> None:
        if not isinstance(node, yaml.ScalarNode):
            self._fault("form", "names", f"the name of class {number} is no text", node)
            return
        kind = node.tag.rpartition(":")[2]
        if kind != "str":
            words = f"the name of class {number}, {node.value!r}, is no text to YAML but {_KINDS.get(kind, kind)}"
            self._fault("name", "names", words, node)
        elif not node.value.strip():
            self._fault("name", "names", f"the name of class {number} is empty", node)
        names[number] = node.value

    def _count(self, node: yaml.Node | None, names: Mapping[int, str] | None) -> int | None:
        told = len(names) if names is not None else None
        if node is None or (_null(node) and told is not None):
            return told
        count = _index(node)
        if count is None or not 0 < count <= _MOST_CLASSES:
            self._fault("form", "nc", "'nc' is no number of classes", node)
            return told
        if told is not None and told != count:
            self._fault("count", "nc", f"'nc' is {count}, and there are {told} names", node)
        return told if told is not None else count

    def _keypoints(self, node: yaml.Node | None) -> Keypoints | None:
        if node is None or _null(node):
            return None
        numbers = [_index(item) for item in node.value] if isinstance(node, yaml.SequenceNode) else []
        if len(numbers) == 2 and numbers[0] is not None and 0 < numbers[0] <= _MOST_CLASSES and numbers[1] in (2, 3):
            return numbers[0], numbers[1]
        self._fault("form", "kpt_shape", "'kpt_shape' is not how many keypoints, and 2 or 3 numbers of each", node)
        return None

    def _flip(self, node: yaml.Node | None) -> tuple[int, ...]:
        if node is None or _null(node):
            return ()
        numbers = [_index(item) for item in node.value] if isinstance(node, yaml.SequenceNode) else [None]
        if None in numbers:
            self._fault("form", "flip_idx", "'flip_idx' is no list of numbers", node)
            return ()
        return tuple(number for number in numbers if number is not None)


#: The kinds of values that YAML makes of words that are not quoted.
_KINDS = {"bool": "yes or no", "int": "a number", "float": "a number", "null": "nothing", "timestamp": "a date"}


def plain(node: yaml.Node, depth: int = 8) -> Any:
    """A value as text, lists and mappings of text; what is nested deeper than `depth` is left out."""
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    if depth == 0:
        return None
    if isinstance(node, yaml.SequenceNode):
        return [plain(item, depth - 1) for item in node.value[:_MOST_CLASSES]]
    return {str(_text(key)): plain(item, depth - 1) for key, item in node.value}


def _scalar(node: yaml.ScalarNode) -> Any:
    kind = node.tag.rpartition(":")[2]
    try:
        return yaml.safe_load(node.value) if kind in ("int", "float", "bool", "null") and not node.style else node.value
    except (yaml.YAMLError, ValueError):
        return node.value


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _text(node: yaml.Node) -> str | None:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else None


def _null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null")


def _index(node: yaml.Node) -> int | None:
    text = (_text(node) or "").strip()
    return int(text) if len(text) < 10 and text.lstrip("-").isascii() and text.lstrip("-").isdecimal() else None


def _far(number: int) -> tuple[bool, int]:
    return number >= 0, number


def _shown(node: yaml.Node) -> str:
    text = _text(node)
    return repr(text[:40]) if text is not None else "what is no text"


def write(data: YoloData, comments: Sequence[str] = ()) -> bytes:
    """A data file: `path` and the parts, `kpt_shape` and `flip_idx` where there are, `nc`, and `names` by number.

    Every name is quoted as JSON quotes it, so that `no` stays a word. `comments` stand at its top. All of `others`
    follow, and `lines` are of no account.
    """
    return "".join(f"{line}\n" for line in _written(data, comments)).encode()


def _written(data: YoloData, comments: Sequence[str]) -> Iterator[str]:
    yield from (f"# {line}" for comment in comments for line in comment.splitlines())
    if data.path is not None:
        yield f"path: {_quoted(data.path)}"
    for part, paths in data.parts.items():
        yield f"{part}: {_quoted(paths[0])}" if len(paths) == 1 else f"{part}: [{', '.join(map(_quoted, paths))}]"
    if data.keypoints:
        yield f"kpt_shape: [{data.keypoints[0]}, {data.keypoints[1]}]"
    if data.flip:
        yield f"flip_idx: [{', '.join(map(str, data.flip))}]"
    if data.count is not None:
        yield f"nc: {data.count}"
    if data.names:
        yield "names:"
        yield from (f"  {number}: {_quoted(data.names[number])}" for number in sorted(data.names))
    if data.others:
        yield yaml.safe_dump(dict(data.others), allow_unicode=True, sort_keys=False).rstrip("\n")


def _quoted(text: str) -> str:
    """A word in double quotes; those that need none, and are no other value to YAML, without."""
    plain_word = text.replace("_", "a").replace("-", "a").replace("/", "a").replace(".", "a")
    if plain_word.isalnum() and text.isascii() and text[0].isalpha() and _is_text(text):
        return text
    return str(yaml.safe_dump(text, default_style='"', allow_unicode=True, width=10**9)).rstrip("\n")


def _is_text(text: str) -> bool:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    return isinstance(node, yaml.ScalarNode) and bool(node.tag == "tag:yaml.org,2002:str")


def classes(data: bytes) -> list[str]:
    """The names of classes.txt, obj.names and their like: one a line, in the order of their numbers.

    WrongContent when it is not text in UTF-8.
    """
    try:
        return data.decode("utf-8-sig").rstrip().splitlines()
    except UnicodeDecodeError as problem:
        raise WrongContent(f"byte {problem.start} is not UTF-8") from None
