"""Which column of a table fills which field of a task: as it was asked for, else as the columns' names plainly say."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from visprep.errors import UnknownName, UsageError, close_to

#: What a column can be chosen for, besides `metadata.KEY`.
FIELDS = ("first_frame", "final_frame", "prompt", "domain", "id", "ground_truth")
#: Begins a field that goes into metadata.json under the rest of its name.
METADATA = "metadata."
#: What visprep itself says in metadata.json.
RESERVED = ("config", "id", "revision", "row", "source", "split")
#: Other names by which a column is taken for a field without being asked for, in lower case.
PLAIN_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "first_frame": ("image", "first_image", "initial_image", "initial_frame", "input_image", "start_image"),
        "final_frame": ("solution_image", "final_image", "target_image", "goal_image", "last_image", "last_frame"),
        "prompt": ("instruction", "question"),
    }
)


#: Fields that no text can fill.
_PICTURES = ("first_frame", "final_frame", "ground_truth")
#: Fields that a task can do without.
_OPTIONAL = frozenset({"final_frame", "domain", "id", "ground_truth"})


def check_fields(asked: Mapping[str, str]) -> None:
    """UnknownName when there is no such field, UsageError when one is visprep's own, or names no column and must."""
    for field, column in asked.items():
        key = field.removeprefix(METADATA)
        if field.startswith(METADATA) and key in RESERVED:
            raise UsageError(f"{field}: visprep writes {key!r} into metadata.json itself", hint="choose another key")
        if field not in FIELDS and (not key or key == field):
            raise UnknownName(f"there is no field {field!r} that a column could fill", hint=_fields_like(field))
        if not column and field not in _OPTIONAL:
            raise UsageError(f"no column is named for {field}", hint=f"--map {field}=COLUMN")


def _fields_like(field: str) -> str:
    meant = close_to(field, FIELDS)
    return f"{f'did you mean {meant}? ' if meant else ''}there are: {', '.join(FIELDS)}, metadata.KEY"


def choose(
    asked: Mapping[str, str],
    tables: Mapping[str, Sequence[str]],
    needed: Iterable[str],
    source: str,
    binary: Collection[str] = (),
) -> dict[str, str]:
    """The column of each field that has one: those asked for, and those whose names leave no doubt.

    A field that is asked for with an empty text has none. `tables` are the columns of each table, by its path; a column
    must be in all of them. `needed` are the fields that must have one. `binary` are the columns whose type can hold a
    video: no other is taken for one unasked. UnknownName for a column that there is not, UsageError where names leave a
    doubt, or say nothing, or where one column would be a picture and the prompt.
    """
    for path, columns in tables.items():
        for column in filter(None, asked.values()):
            if column not in columns:
                meant = close_to(column, tuple(columns))
                raise UnknownName(
                    f"{path} of {source} has no column {column!r}",
                    hint=f"{f'did you mean {meant}? ' if meant else ''}it has: {', '.join(columns)}",
                )
    first, *others = tables.values()
    common = [column for column in first if all(column in columns for columns in others)]
    chosen: dict[str, str | None] = {}
    for field in FIELDS:
        free = [column for column in common if column in binary] if field == "ground_truth" else common
        chosen[field] = asked[field] or None if field in asked else _plainly(field, _free(field, free, asked), source)
    _check_prompt(asked, chosen)
    for field in needed:
        if chosen[field] is None:
            raise _lacking(field, asked, common, source)
    metadata = {field: column for field, column in sorted(asked.items()) if field not in FIELDS}
    return {field: column for field, column in chosen.items() if column} | metadata


def _free(field: str, columns: Iterable[str], asked: Mapping[str, str]) -> list[str]:
    """The columns that `field` may take: its very own, and those that no other field was asked to take."""
    taken = {column for name, column in asked.items() if name in FIELDS}
    return [column for column in columns if column not in taken or column.lower() == field]


def _check_prompt(asked: Mapping[str, str], chosen: Mapping[str, str | None]) -> None:
    for field in _PICTURES:
        if chosen[field] and chosen[field] == chosen["prompt"]:
            wrong, other = (field, "prompt") if field in asked else ("prompt", field)
            cannot = f"this column is the {_words(other)}, and cannot be the {_words(wrong)} too"
            raise UsageError(
                f"--map {wrong}={asked[wrong]}: {cannot}",
                hint=f"name another column for one of them: --map {wrong}=COLUMN or --map {other}=COLUMN",
            )


def _lacking(field: str, asked: Mapping[str, str], columns: Sequence[str], source: str) -> UsageError:
    """What to say where no column is left for a field that must have one."""
    taken = [
        f"--map takes {column} for the {_words(name)}; "
        for name, column in asked.items()
        if name in FIELDS and column.lower() in PLAIN_NAMES.get(field, ())
    ]
    return UsageError(
        f"no column of {source} is plainly the {_words(field)}; {''.join(taken)}its columns are: {', '.join(columns)}",
        hint=f"name it: --map {field}=COLUMN"
        + (", or take tasks without one: --layout vmevalkit" if field == "final_frame" else ""),
    )


def _plainly(field: str, columns: Sequence[str], source: str) -> str | None:
    """The column that is called like a field, or else by another name for it; UsageError when there are several."""
    for names in ((field,), PLAIN_NAMES.get(field, ())):
        called = [column for column in columns if column.lower() in names]
        if len(called) > 1:
            raise UsageError(
                f"{' and '.join(called)} of {source} could each be the {_words(field)}",
                hint=f"say which: --map {field}={called[0]}",
            )
        if called:
            return called[0]
    return None


def _words(field: str) -> str:
    return field.replace("_", " ")
