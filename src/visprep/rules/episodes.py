"""The rules of episodes: whether the frames of each are numbered without a gap, and of one size.

What is wrong with a frame by itself stands in `image_files`, what lies between the frames in `strays`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from visprep.findings import Finding, Level
from visprep.formats.episodes import Episode, nearly_number_of, usual_step
from visprep.render.text import counted
from visprep.rules import Depth, Rule, image_files, strays

EPISODE_FILE_NAME = Rule(
    "episode-file-name",
    Level.ERROR,
    Depth.NAMES,
    "A file of an episode is nearly named as a frame.",
    "Loaders look for frame_{number}.png, and pass it by: the frame is missing to them, and nobody is told.",
    "rename the file, or convert it to PNG or JPEG",
    bad="Frame_0003.PNG, or frame0003.png, between frame_0002.png and frame_0004.png.",
    near="frame_0003.jpg between frame_2.png and frame_0004.png.",
)
EPISODE_GAP = Rule(
    "episode-gap",
    Level.ERROR,
    Depth.NAMES,
    "The frames of an episode count up, and some numbers are left out.",
    "What learns from one frame to the next takes two for neighbors that are none.",
    "fetch the missing frames, split the episode there, or ignore this rule where frames were left out on purpose",
    bad="frame_1.png, frame_2.png and frame_4.png.",
    near="Every tenth frame, throughout: frame_10.png, frame_20.png, frame_30.png; or a first frame other than 0 or 1.",
)
EPISODE_NUMBER_REPEATED = Rule(
    "episode-number-repeated",
    Level.ERROR,
    Depth.NAMES,
    "Two frames of an episode have the same number.",
    "Which comes first is left to chance; a frame is shown twice, or in the wrong place.",
    "delete the one that does not belong there, or number it anew",
    bad="frame_1.png and frame_01.png.",
    near="frame_1.png in two episodes.",
)
EPISODE_SIZE = Rule(
    "episode-size",
    Level.ERROR,
    Depth.HEADERS,
    "The frames of an episode are of several sizes.",
    "They cannot be stacked; most often some come from another recording.",
    "find out where the frames come from that are fewer, and make them again or leave the episode out",
    bad="99 frames of 160 x 144 pixels, and one of 240 x 160.",
    near="A frame that is stored lying, with EXIF that turns it to the size of the others.",
)
GAME_SIZE = Rule(
    "game-size",
    Level.NOTE,
    Depth.HEADERS,
    "The episodes of a game are of several sizes.",
    "A batch that mixes them has to scale them to one size.",
    "nothing, if loaders scale; else make them of one size",
    bad="game1/episode1 in 160 x 144 pixels, game1/episode2 in 240 x 160.",
    near="game1 in 160 x 144 pixels, game2 in 240 x 160.",
)
NO_FRAMES = Rule(
    "no-frames",
    Level.ERROR,
    Depth.NAMES,
    "The place holds no frame.",
    "An empty dataset passes every other check.",
    "name the directory that holds {game}/{episode}/frame_{number}.png, or one further up, or download again",
    bad="A directory with nothing in it but photo.jpg.",
    near="One frame, at game1/episode1/frame_1.png.",
)

RULES: tuple[Rule, ...] = (
    EPISODE_FILE_NAME,
    EPISODE_GAP,
    EPISODE_NUMBER_REPEATED,
    EPISODE_SIZE,
    GAME_SIZE,
    NO_FRAMES,
)
#: All rules of places with episodes.
ALL: tuple[Rule, ...] = tuple(sorted((*RULES, *image_files.RULES, *strays.RULES), key=lambda rule: rule.code))

Size = tuple[int, int]


def check_names(episode: Episode) -> Iterator[Finding]:
    """What the names of its files say against an episode."""
    for file in episode.near:
        words = f"{file.path} is not named as frames are: frame_{{number}}.png, .jpg or .jpeg"
        yield EPISODE_FILE_NAME.at(file.path, words, episode=episode.key)
    for before, after in itertools.pairwise(range(len(episode.numbers))):
        if episode.numbers[before] == episode.numbers[after]:
            one, other = episode.frames[before], episode.frames[after]
            words = f"{other.path.rpartition('/')[2]} has the number of {one.path.rpartition('/')[2]}"
            yield EPISODE_NUMBER_REPEATED.at(other.path, words, episode=episode.key, first=one.path)
    yield from _gaps(episode)


def _gaps(episode: Episode) -> Iterator[Finding]:
    """A finding for each gap; none where most numbers have gaps between them, for then the frames are a selection."""
    almost = (nearly_number_of(file.path) for file in episode.near)
    numbers = sorted({*episode.numbers, *(number for number in almost if number is not None)})
    step = usual_step(numbers)
    if step is None:
        return
    for before, after in itertools.pairwise(numbers):
        if after > before + step:
            count = (after - before - 1) // step
            first, last = before + step, before + count * step
            gap = f"frame {first}" if first == last else f"frames {first} to {last}"
            words = f"{gap} of {numbers[0]} to {numbers[-1]} {'is' if first == last else 'are'} not there"
            id_ = f"{first}-{last}" if first != last else str(first)
            yield EPISODE_GAP.at(episode.key, words, episode=episode.key, id=id_, count=count)


def check_sizes(episode: Episode, sizes: Sequence[Size | None]) -> Iterator[Finding]:
    """Whether its frames are of one size: `sizes` are width and height as shown of each, where they are known."""
    counts = Counter(filter(None, sizes))
    if len(counts) < 2:
        return
    usual, most = counts.most_common(1)[0]
    odd = [(file, size) for file, size in zip(episode.frames, sizes, strict=True) if size and size != usual]
    file, size = odd[0]
    words = (
        f"{counted(most, 'frame')} of {usual[0]} x {usual[1]} pixels, {len(odd):,} of another size, the first being "
        f"{file.path.rpartition('/')[2]} with {size[0]} x {size[1]}"
    )
    yield EPISODE_SIZE.at(episode.key, words, episode=episode.key, first=file.path, count=len(odd))


def check_games(games: Mapping[str, Counter[Size]]) -> Iterator[Finding]:
    """Whether the episodes of each game are of one size: by the path of the game, how many episodes are of which."""
    for home, sizes in games.items():
        if len(sizes) > 1:
            each = ", ".join(f"{count:,} of {width} x {height}" for (width, height), count in sizes.most_common())
            yield GAME_SIZE.at(home, f"its episodes are of several sizes: {each}")
