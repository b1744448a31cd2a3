"""Tables of files: a record is a file, with what its path says, and what is in it."""

from __future__ import annotations

from visprep.metadata import Column, FileGroup, Table

#: The path of a file below the place, and its bytes.
_PATH, _CONTENT = {"fileProperty": "fullpath"}, {"fileProperty": "content"}


def path_column(name: str, pattern: str, description: str, type: str = "sc:Text") -> Column:
    """What the one group of a regular expression finds at the beginning of a path."""
    return Column(name, type, _PATH, {"regex": pattern}, description)


def picture_table(id: str, group: FileGroup, description: str, *said: Column, content: str = "image") -> Table:
    """Images with their paths, and with what these say."""
    path = Column("path", "sc:Text", _PATH, description="The path of the file in the dataset")
    picture = Column(content, "sc:ImageObject", _CONTENT, description="The picture")
    return Table(id, group.id, True, (path, *said, picture), ("path",), description)


def text_table(id: str, group: FileGroup, description: str, *said: Column, content: str, words: str) -> Table:
    """Text files with their paths, with what these say, and with the text."""
    path = Column("path", "sc:Text", _PATH, description="The path of the file in the dataset")
    text = Column(content, "sc:Text", _CONTENT, description=words)
    return Table(id, group.id, True, (path, *said, text), ("path",), description)
