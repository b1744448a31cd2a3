"""XML as a small tree with line numbers, read by expat and without what makes XML dangerous.

No entity is declared or expanded and nothing outside of the file is read: a file that declares one is refused. So are
elements nested deeper than forty, and files of more than 64 megabytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from visprep.errors import WrongContent

#: Bytes that a file may have, and elements that may be open at once.
LONGEST, DEEPEST = 64 * 1024 * 1024, 40
#: What XML 1.0 has no way to say.
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
#: Characters that are shown behind one that cannot be.
_AROUND = 40


@dataclass(slots=True)
class Element:
    """An element: its name, its own text without space around it, its children, and the line that it begins in."""

    tag: str
    text: str = ""
    children: list[Element] = field(default_factory=list)
    attributes: Mapping[str, str] = field(default_factory=dict)
    line: int = field(default=0, compare=False)

    def find(self, tag: str) -> Element | None:
        """The first child of that name."""
        return next((child for child in self.children if child.tag == tag), None)

    def all(self, tag: str) -> Iterator[Element]:
        """The children of that name."""
        return (child for child in self.children if child.tag == tag)

    def value(self, tag: str) -> str | None:
        """The text of the first child of that name; None where there is none."""
        child = self.find(tag)
        return child.text if child is not None else None


class NotXml(WrongContent):
    """The bytes are no XML, or not one that is read here; `line` and `column` count from 1."""

    def __init__(self, message: str, line: int, column: int, *, refused: bool = False) -> None:
        super().__init__(message)
        self.line, self.column, self.refused = line, column, refused


def read(data: bytes) -> Element:
    """The root of a file; NotXml, with the place, where it is damaged or cut off, or declares an entity."""
    if len(data) > LONGEST:
        raise NotXml(f"it has {len(data):,} bytes; {LONGEST:,} are the most", 1, 1, refused=True)
    reading = _Reading()
    parser = reading.parser
    try:
        parser.Parse(data, True)
    except expat.ExpatError as problem:
        words = expat.errors.messages.get(problem.code, "damaged")
        raise NotXml(_said(words, reading), problem.lineno, problem.offset + 1) from None
    except (LookupError, ValueError) as problem:  # an encoding that Python does not have, or expat cannot use
        raise NotXml(f"its encoding cannot be read: {problem}", 1, 1) from None
    assert reading.root is not None  # expat finds a file without an element damaged
    return reading.root


def _said(words: str, reading: _Reading) -> str:
    """What is wrong, with what was open then: a file that is cut off ends within something."""
    return f"{words}, within <{reading.open[-1].tag}>" if reading.open else words


class _Reading:
    """One file as it is read."""

    def __init__(self) -> None:
        self.root: Element | None = None
        self.open: list[Element] = []
        self.parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.EntityDeclHandler = self._declared
        parser.ExternalEntityRefHandler = self._outside
        parser.SkippedEntityHandler = self._declared  # where a DTD that is not read may declare it

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        element = Element(tag, attributes=attributes, line=self.parser.CurrentLineNumber)
        if self.open:
            self.open[-1].children.append(element)
        else:
            self.root = element
        self.open.append(element)
        if len(self.open) > DEEPEST:
            self._refuse(f"its elements are nested deeper than {DEEPEST}")

    def _end(self, tag: str) -> None:
        element = self.open.pop()
        element.text = element.text.strip()

    def _text(self, text: str) -> None:
        if self.open:
            self.open[-1].text += text

    def _declared(self, name: str, *_: object) -> None:
        self._refuse(f"it has the entity {name[:40]!r}, and entities are not read")

    def _outside(self, *_: object) -> int:
        self._refuse("it asks for something outside of the file, and that is not read")
        return 0

    def _refuse(self, words: str) -> None:
        raise NotXml(words, self.parser.CurrentLineNumber, self.parser.CurrentColumnNumber + 1, refused=True)


def write(root: Element, indent: str = "\t") -> bytes:
    """A file with this tree, an element a line, in UTF-8 and without an XML declaration, as VOC's own files are.

    WrongContent for text with a character that XML does not have.
    """
    text = "".join(f"{line}\n" for line in _lines(root, indent, 0))
    if found := _ILLEGAL.search(text):
        line = text[text.rfind("\n", 0, found.start()) + 1 : found.end() + _AROUND].partition("\n")[0].strip()
        raise WrongContent(
            f"the character U+{ord(found[0]):04X} cannot be written in XML: {line!r}",
            hint="take it out there; a class gets another name by --classes",
        )
    return text.encode()


def _lines(element: Element, indent: str, depth: int) -> Iterator[str]:
    before = indent * depth
    names = "".join(f" {name}={quoteattr(value)}" for name, value in element.attributes.items())
    if not element.children:
        yield f"{before}<{element.tag}{names}>{escape(element.text, {chr(13): '&#13;'})}</{element.tag}>"
        return
    yield f"{before}<{element.tag}{names}>{escape(element.text)}"
    for child in element.children:
        yield from _lines(child, indent, depth + 1)
    yield f"{before}</{element.tag}>"


def made(tag: str, content: str | Iterable[Element]) -> Element:
    """An element with text or children."""
    return Element(tag, content) if isinstance(content, str) else Element(tag, children=list(content))
