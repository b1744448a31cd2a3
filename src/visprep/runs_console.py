"""What people see of runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from visprep.console import Screen, finish, out_json, out_line, plain, size, table
from visprep.render.text import counted, printable

if TYPE_CHECKING:
    from visprep.runs import Carried, Checkpoint, EventsPulled, RunShown, RunSummary


def show_list(runs: list[RunSummary], *, as_json: bool) -> None:
    """Runs, to stdout: a table, or JSON."""
    if as_json:
        out_json({"runs": [plain(one) | {"metrics": _numbers(one.metrics)} for one in runs]})
        return
    headings = ("Run", "Saved", "Epoch", "Step", "Best", "Checkpoints", "Size", "Measured")
    table(headings, [[printable(cell) for cell in _row(one)] for one in runs])


def _row(one: RunSummary) -> tuple[str, ...]:
    if one.saved is None:
        held = f"0, and {one.others} of others" if one.others else "0"
        return one.experiment, "-", "-", "-", "-", held, size(one.bytes) if one.others else "-", ""
    numbers = (_or_dash(number) for number in (one.epoch, one.step, one.best_step))
    return one.experiment, _moment(one.saved), *numbers, str(one.checkpoints), size(one.bytes), _measured(one.metrics)


def show_run(run: RunShown, *, as_json: bool) -> None:
    """One run, to stdout."""
    if as_json:
        told = plain(replace(run, checkpoints=(), others=()))
        told["checkpoints"] = [{**one.to_json(), "path": one.path} for one in run.checkpoints]
        told["others"] = [{"path": one.path, "size": one.size} for one in run.others]
        for name in ("events", "logs"):
            told[name] = dict(zip(("files", "bytes"), told[name], strict=True))
        out_json(told)
        return
    for line in _run_lines(run):
        out_line(line)


def _run_lines(run: RunShown) -> Iterator[str]:
    yield f"{run.experiment} at {run.place}"
    for one in run.checkpoints:
        marks = [mark for mark, path in (("latest", run.latest), ("best", run.best)) if path == one.path]
        yield f"  {one.path}" + (f" ({', '.join(marks)})" if marks else "")
        epoch = "" if one.epoch is None else f"epoch {one.epoch}, "
        yield f"    {epoch}step {one.step}, saved {_moment(one.saved)}, {size(one.size)}, sha256 {one.sha256}"
        if one.metrics:
            yield f"    measured: {_measured(one.metrics)}"
        yield from _origin_lines(one)
    for other in run.others:
        yield f"  {other.path}: {size(other.size or 0)}, not named by visprep"
    if not run.checkpoints and not run.others:
        yield "  no checkpoint yet"
    for what, (files, count) in (("TensorBoard", run.events), ("logs", run.logs)):
        if files:
            yield f"  {what}: {counted(files, 'file')}, {size(count)}"


def _origin_lines(one: Checkpoint) -> Iterator[str]:
    """What a checkpoint was trained on."""
    told: Mapping[str, Any] = one.trained_on or {}
    for data in told.get("datasets") or ():
        words = [str(data.get("place") or "data that is not named")]
        if data.get("version"):
            words.append(f"version {data['version']}")
        if data.get("annotations"):
            words.append(f"annotations {data['annotations']}")
        if data.get("annotations_sha256"):
            words.append(f"sha256 {data['annotations_sha256']}")
        manifest = data.get("manifest_sha256")
        words.append(f"manifest sha256 {manifest}" if manifest else "no manifest")
        yield f"    trained on: {', '.join(words)}"
    if told.get("commit"):
        yield f"    commit: {told['commit']}" + (", with changes" if told.get("dirty") else "")


def show_carried(shown: Screen, result: Carried, *, as_json: bool) -> None:
    """What was fetched or sent."""
    if as_json:
        out_json(plain(result))
        return
    checkpoints = counted(result.checkpoints, "checkpoint")
    rest = f" and {counted(result.moved - result.checkpoints, 'file')}" if result.moved > result.checkpoints else ""
    kept = f"; {counted(result.kept, 'file')} {'was' if result.kept == 1 else 'were'} there" if result.kept else ""
    runs = counted(len(result.experiments), "run")
    shown.say(f"{result.target}: {checkpoints}{rest} of {runs}, {size(result.bytes)}{kept}")


def show_events(shown: Screen, result: EventsPulled, *, as_json: bool) -> None:
    """Where events are now, and, to stdout, the command that shows them."""
    if as_json:
        out_json(plain(result))
        return
    if result.moved:
        there = f"; {counted(result.kept, 'file')} {'was' if result.kept == 1 else 'were'} there" if result.kept else ""
        shown.say(f"{result.directory}: {counted(result.moved, 'file')}, {size(result.bytes)}{there}")
    elif not result.kept:
        shown.say(f"{result.directory}: there are no events there yet")
    out_line(result.command)


def show_lines(lines: Iterable[str]) -> None:
    """Lines of a log, to stdout, each as soon as it is there."""
    for line in lines:
        out_line(line)
        finish()


def _numbers(metrics: Mapping[str, float]) -> dict[str, float | str]:
    """Numbers as JSON takes them: what it does not know becomes text."""
    return {name: value if abs(value) < float("inf") else str(value) for name, value in metrics.items()}


def _measured(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())


def _moment(saved: str) -> str:
    """A date to the second: the rest is there to tell saves apart."""
    return f"{saved[:19].replace('T', ' ')}Z" if len(saved) > 19 else saved


def _or_dash(number: int | None) -> str:
    return "-" if number is None else str(number)
