"""The rules of the house, as tests: what is imported when, and that the command line is a translation."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import visprep
from visprep import cli, errors, runs
from visprep.rules import archives
from visprep.rules import files as file_rules
from visprep.rules.all_rules import OF_ALL, OF_CONVERSIONS, OF_FORMAT, OF_PARTS, RULES
from visprep.sources import BUILTIN

SRC = Path(visprep.__file__).parent
HEAVY = (
    "torch",
    "ray",
    "datasets",
    "pyarrow",
    "boto3",
    "botocore",
    "PIL",
    "numpy",
    "huggingface_hub",
    "moto",
    "msgspec",
    "simplejpeg",
    "pycurl",
)

#: The library's name for a command whose own name is taken: `visprep.sources` is the package of sources.
RENAMED = {"sources": "list_sources", "runs list": "list_runs", "export-metadata": "export_metadata"}
#: What concerns only the face: how to show and how much to say.
FACE = {"json", "quiet", "verbose", "log", "format", "report", "summarize", "yes"}
#: What the library calls back; on the command line it is what people see, and are asked. And where verify takes notes.
CALLED = {"progress", "say", "show", "confirm", "memory"}
S3 = {"profile", "region", "endpoint_url", "no_sign_request"}
#: How objects are written.
S3_WRITING = {"storage_class", "sse", "sse_kms_key_id", "acl", "request_payer"}
#: Where runs lie below a place, as three options.
PREFIXES = {"checkpoint_prefix", "tensorboard_prefix", "logs_prefix"}


def commands_of(app, words=""):
    """Each command by all its words, and the function that is called."""
    found = {f"{words}{one.name or one.callback.__name__}": one.callback for one in app.registered_commands}
    for group in app.registered_groups:
        found |= commands_of(group.typer_instance, f"{words}{group.name} ")
    return found


COMMANDS = commands_of(cli.app)


@pytest.mark.parametrize(
    "what", ["import visprep", "import visprep.cli", "from visprep.cli import main; main(['--help'])"]
)
def test_nothing_heavy_is_imported_before_it_is_needed(what):
    code = f"""
import sys
try:
    {what}
except SystemExit:
    pass
sys.stderr.write(' '.join(name for name in {HEAVY!r} if name in sys.modules))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr == ""


def test_import_loads_no_typer_or_rich():
    code = "import sys, visprep; sys.exit(any(name in sys.modules for name in ('typer', 'rich')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_all_is_sorted_and_true():
    assert visprep.__all__ == sorted(visprep.__all__) == sorted(visprep._HOMES)
    for name in visprep.__all__:
        assert getattr(visprep, name).__doc__
    assert set(visprep.__all__) <= set(dir(visprep))
    with pytest.raises(AttributeError):
        _ = visprep.no_such_name


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_a_library_function_with_a_face(name):
    home, called = (runs, name.removeprefix("runs ")) if name.startswith("runs ") else (visprep, name)
    function = getattr(home, RENAMED.get(name, called))
    face = set(inspect.signature(COMMANDS[name]).parameters) - FACE - S3_WRITING
    face = face - PREFIXES | {"layout"} if face >= PREFIXES else face
    library = set(inspect.signature(function).parameters) - CALLED
    assert (face - S3 | {"s3"} if face >= S3 else face) == library


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_short_and_has_help(name):
    tree = ast.parse(inspect.getsource(COMMANDS[name]))
    (function,) = tree.body
    body = function.body[1:]
    assert body[-1].end_lineno - body[0].lineno + 1 <= 15
    assert inspect.getdoc(COMMANDS[name])


def test_every_option_has_help():
    for name, command in COMMANDS.items():
        for parameter in inspect.signature(command, eval_str=True).parameters.values():
            (info,) = parameter.annotation.__metadata__
            assert isinstance(info, typer.models.ParameterInfo)
            assert info.help, f"{name} {parameter.name}"


def test_tables_are_sorted_and_codes_unique():
    assert list(BUILTIN) == sorted(BUILTIN)
    assert list(OF_FORMAT) == sorted(OF_FORMAT)
    for rules in (archives.RULES, file_rules.RULES, OF_CONVERSIONS, OF_PARTS, *OF_FORMAT.values()):
        assert [rule.code for rule in rules] == sorted(rule.code for rule in rules)
    rules = {id(rule): rule for rules in (OF_ALL, OF_CONVERSIONS, OF_PARTS, *OF_FORMAT.values()) for rule in rules}
    codes = [rule.code for rule in rules.values()]
    assert len(codes) == len(set(codes)) == len(RULES)


def all_errors(cls=errors.VisprepError):
    """The public ones: what a single module needs for itself may be a kind of them."""
    children = [child for child in cls.__subclasses__() if child.__module__ == errors.__name__]
    return [cls, *(found for child in children for found in all_errors(child))]


def test_the_tree_of_errors_is_drawn_as_it_is():
    for error in all_errors():
        assert f"{error.__name__} " in errors.__doc__
        assert error.__doc__
    slugs = [error.slug for error in all_errors()]
    assert len(slugs) == len(set(slugs))


def test_files_are_small():
    long = {
        path.relative_to(SRC).as_posix(): count
        for path in SRC.rglob("*.py")
        if (count := len(path.read_text().splitlines())) > 400
    }
    assert long == {}


def test_nobody_reads_the_environment_but_those_who_may():
    allowed = {
        "_demo.py",
        "cli.py",
        "configuration.py",  # where verify takes notes
        "credentials.py",
        "engines/joining.py",  # whether Ray speaks TLS
        "git.py",  # to take out what a hook would lead git astray with
        "handles.py",
        "loaders/coco_index.py",  # where caches go
        "provenance.py",
        "roads/of_fiftyone.py",  # to say more to FiftyOne's process than this one was told
        "stores/hub.py",
        "stores/s3.py",
    }
    readers = {
        path.relative_to(SRC).as_posix()
        for path in SRC.rglob("*.py")
        if any(word in path.read_text() for word in ("os.environ", "getenv"))
    }
    assert readers <= allowed
