"""Small places of records that are files of directories: tasks, triplets, episodes, images."""

import json
from io import BytesIO

import numpy as np
from PIL import Image


def picture(number, side=16):
    """A PNG that no other number has."""
    rng = np.random.default_rng(number)
    out = BytesIO()
    Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).save(out, "PNG")
    return out.getvalue()


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def make_task(place, path, number, **metadata):
    """A task that verify finds nothing wrong with."""
    home = place / path
    write(home / "first_frame.png", picture(2 * number))
    write(home / "final_frame.png", picture(2 * number + 1))
    write(home / "prompt.txt", f"Solve number {number}.\n".encode())
    if metadata:
        write(home / "metadata.json", json.dumps(metadata).encode())


def make_tasks(place, count=12, domains=("maze", "sudoku")):
    for number in range(count):
        domain = domains[number % len(domains)]
        make_task(
            place, f"{domain}_task/{domain}_{number:04d}", number, source=f"s{number % 3}", level={"n": number % 2}
        )
    return place


def make_triplets(place, directories=("easy/female", "easy/male", "hard/female"), count=3):
    for at, directory in enumerate(directories):
        for number in range(1, count + 1):
            first = 1000 * at + 10 * number
            stem = f"{number:03d}"
            write(place / directory / f"initial_image/{stem}_person.png", picture(first))
            write(place / directory / f"cloth_image/{stem}_cloth_a.png", picture(first + 1))
            write(place / directory / f"try_on_image/{stem}_vton.png", picture(first + 2))
    return place


def make_episodes(place, games=("pong", "snake"), count=3, frames=3):
    for at, game in enumerate(games):
        for episode in range(count):
            for number in range(1, frames + 1):
                data = picture(10_000 * at + 100 * episode + number)
                write(place / game / f"episode_{episode}/frame_{number}.png", data)
    return place
