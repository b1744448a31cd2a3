"""Engines: how a list of work is run. `local` uses threads of this process."""
