"""The rules of prompts: whether there is something to read in them, and whether every reader reads the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from visprep.findings import Finding, Level
from visprep.formats.tasks import tidy_prompt, visible
from visprep.rules import Depth, Rule

#: Characters of the longest prompt that models read to its end: about 512 tokens of English, at four characters each.
#: What the models take: Wan 512 tokens, CogVideoX 226 (`max_sequence_length` in diffusers), and they cut off the rest
#: without a word; services refuse more than 500 (Kling from an image, as ComfyUI calls it) to 2,500 characters. The
#: prompts of VideoThinkBench's visual puzzles have 303 to 381.
LONGEST = 2000

PROMPT_BLANK = Rule(
    "prompt-blank",
    Level.ERROR,
    Depth.HEADERS,
    "A prompt holds nothing that can be seen: white space, byte order mark, zero-width characters.",
    "The task asks for nothing.",
    "write the prompt, or drop the task",
    bad="prompt.txt is a single line feed.",
    near="prompt.txt is one dot among blanks.",
)
PROMPT_CONTROL = Rule(
    "prompt-control",
    Level.WARNING,
    Depth.HEADERS,
    "A prompt holds control characters other than tab and line ends.",
    "A form feed in front of `rac` was a LaTeX command; others come from a wrong encoding. Some readers stop there.",
    "write the prompt again from its origin, or remove the characters",
    bad="`\\frac{1}{2}` whose `\\f` became a form feed.",
    near="Tabs, line ends of every kind, and the joiners in emoji.",
)
PROMPT_EMPTY = Rule(
    "prompt-empty",
    Level.ERROR,
    Depth.SIZES,
    "A prompt file has no bytes.",
    "The task asks for nothing.",
    "write the prompt, or drop the task",
    bad="prompt.txt has 0 bytes.",
    near="prompt.txt has one letter.",
)
PROMPT_ENCODING = Rule(
    "prompt-encoding",
    Level.ERROR,
    Depth.HEADERS,
    "A prompt is not UTF-8.",
    "Readers fail on it, or make other letters of it.",
    "save the file as UTF-8",
    bad='"Ein Café" in Latin-1.',
    near="Accents, Chinese characters and emoji in UTF-8.",
)
PROMPT_LONG = Rule(
    "prompt-long",
    Level.WARNING,
    Depth.HEADERS,
    f"A prompt has more than {LONGEST:,} characters.",
    "Video models read about 512 tokens at the most and drop the rest silently; services refuse it.",
    "shorten the prompt, and let its beginning say what is to happen",
    bad="A prompt of 2,001 letters.",
    near="2,000 letters, with blanks and line ends around them.",
)

RULES: tuple[Rule, ...] = (PROMPT_BLANK, PROMPT_CONTROL, PROMPT_EMPTY, PROMPT_ENCODING, PROMPT_LONG)


def check(data: bytes, path: str, size: int | None = None) -> Iterator[Finding]:
    """What is wrong with the bytes of a prompt; of what keeps it from being read, one finding at the most.

    `size` is given when `data` is only its beginning: the size of the whole in bytes.
    """
    if not data:
        yield PROMPT_EMPTY.at(path, "the prompt has 0 bytes")
        return
    if size is not None:  # too long whatever it says
        wrong = f"the prompt has {size:,} bytes, of which {len(data):,} were looked at"
        yield PROMPT_LONG.at(path, wrong, bytes=size)
        return
    try:
        text = data.decode()
    except UnicodeDecodeError as problem:
        utf16 = "; it begins as UTF-16 does" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else ""
        wrong = f"byte {problem.start} (hexadecimal {data[problem.start]:02x}) is not UTF-8{utf16}"
        yield PROMPT_ENCODING.at(path, wrong, byte=problem.start)
        return
    if not visible(text):
        yield PROMPT_BLANK.at(path, f"the prompt is all blank (characters: {len(text)})")
        return
    controls = [at for at, char in enumerate(text) if unicodedata.category(char) == "Cc" and char not in "\t\n\r"]
    if controls:
        more = f", and {len(controls) - 1} more" if len(controls) > 1 else ""
        wrong = f"character {controls[0]} is the control character U+{ord(text[controls[0]]):04X}{more}"
        yield PROMPT_CONTROL.at(path, wrong, character=controls[0], count=len(controls))
    length = len(tidy_prompt(text))
    if length > LONGEST:
        yield PROMPT_LONG.at(path, f"the prompt has {length:,} characters", characters=length)
