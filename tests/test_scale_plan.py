"""docs/scale.md says what the script computes; the script's steps run, and count every name."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import scale_plan  # noqa: E402
import simulate_scale  # noqa: E402
from growth import exponent, without_start  # noqa: E402
from visprep.manifest import entry_line, read_lines  # noqa: E402
from visprep.traffic import PRICES_OF  # noqa: E402

PAGE = (ROOT / "docs/scale.md").read_text(encoding="utf-8")
COUNT = 1_500


@pytest.mark.parametrize("name", scale_plan.SECTIONS)
def test_the_page_says_what_is_computed(name):
    assert f"\n\n{scale_plan.section(name)}\n\n" in f"{PAGE}\n"


def test_the_page_says_what_was_measured_and_of_when_the_prices_are():
    assert f"\n\n{scale_plan.curve()}\n\n" in PAGE
    assert PRICES_OF in PAGE
    assert scale_plan.renewed(PAGE) == PAGE
    assert scale_plan.renewed(PAGE.replace(" µs |", " ns |")) == PAGE


def test_every_table_of_the_page_is_asked_for():
    ended = subprocess.run(
        [sys.executable, ROOT / "scripts/simulate_scale.py", "--plan"], capture_output=True, text=True, check=True
    )
    for block in ended.stdout.strip().split("\n\n"):
        assert block in PAGE


@pytest.mark.parametrize("step", simulate_scale.STEPS)
def test_a_step_counts_every_name(step):
    assert simulate_scale.STEPS[step](simulate_scale.Names(COUNT)) == COUNT


def test_the_lines_of_the_simulated_manifest_are_those_of_the_code():
    names = simulate_scale.Names(COUNT)
    lines = list(names.lines())
    assert lines[1:] == [entry_line(file, etag=True) for file in names.files(True)]
    assert [file.path for file in read_lines(lines)[1]] == [file.path for file in names.list()]
    assert scale_plan.line() == len(lines[1]) + len(str(scale_plan.SAMPLE.size)) - len(str(simulate_scale.SIZE))


def test_a_curve_is_measured_in_processes_of_their_own():
    told = simulate_scale.alone("diff", COUNT)
    assert told["seconds"] > 0
    assert told.keys() == {"seconds", "processor", "memory", "disk", "written"}


@pytest.mark.parametrize("power", [0, 1, 1.5, 2])
def test_the_exponent_of_a_curve(power):
    curve = {count: 0.3 + 1e-5 * count**power for count in (1_000, 10_000, 100_000)}
    assert exponent(without_start(curve, 0.3, 0)) == pytest.approx(power)


def test_what_is_not_more_than_the_start_has_no_exponent():
    assert without_start({10: 1.1, 100: 3.0}, 1.0) == {100: 2.0}
    assert exponent({100: 2.0}) is None


def test_a_command_that_is_measured_ends_well_over_a_generated_place(tmp_path):
    import bench_scale

    place = tmp_path / "place"
    bench_scale.make(place, 12)
    for measure in bench_scale.MEASURES[:1]:
        assert bench_scale.run(measure, place, False).memory > 0
    json.loads((place / bench_scale.ANNOTATIONS).read_text())
