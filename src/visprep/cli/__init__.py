"""The command line: parse, call the library function of the same name, show, exit. Nothing is decided here."""

from visprep.cli.application import app
from visprep.cli.demo import demo
from visprep.cli.diff import diff
from visprep.cli.doctor import doctor
from visprep.cli.download import download
from visprep.cli.explain import explain
from visprep.cli.ls import ls
from visprep.cli.running import main
from visprep.cli.sources import sources
from visprep.cli.status import status
from visprep.cli.sync import sync
from visprep.cli.upload import upload
from visprep.cli.verify import verify

__all__ = ["app", "main"]

for _verb in (demo, doctor, sources, download, status, verify, upload, sync, diff, ls, explain):
    app.command()(_verb)
