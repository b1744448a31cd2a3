"""Keeps these tests out of visprep's own: they are those of a package that tests/test_plugins.py installs first."""

collect_ignore_glob = ["test_*.py"]
