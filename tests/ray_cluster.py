"""A Ray cluster of two nodes on this machine, for all tests that ask for one; mark these `xdist_group("ray")`.

A cluster takes some seconds and half a gigabyte, so there is one for all of them. Its processes end with this one.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

#: What a node's processes find: visprep as it is here, and the functions that tests hand to workers.
_PATH = os.pathsep.join([str(Path(__file__).parents[1] / "src"), str(Path(__file__).parent)])
_STORE = 80 * 1024 * 1024


class TwoNodes:
    """The cluster: its `address`, and what can befall it."""

    def __init__(self, directory):
        from ray.cluster_utils import Cluster

        self._cluster, self._directory = Cluster(shutdown_at_exit=False), directory
        self._start(no_monitor=True, include_dashboard=False)
        self._other = self._start()
        self.address = self._cluster.address

    def _start(self, **options):
        with pytest.MonkeyPatch.context() as settings:
            settings.setenv("RAY_AUTH_MODE", "disabled")
            settings.setenv("RAY_USAGE_STATS_ENABLED", "0")
            settings.setenv("PYTHONPATH", _PATH)
            return self._cluster.add_node(
                num_cpus=1, object_store_memory=_STORE, include_log_monitor=False, temp_dir=self._directory, **options
            )

    def kill_a_node(self):
        """Kill all processes of the node that drivers are not connected to."""
        self._cluster.remove_node(self._other, allow_graceful=False)
        self._other = None

    def mend(self):
        """See that there are two nodes."""
        if self._other is None:
            self._other = self._start()

    def another(self, **environment):
        """One node more, with other settings; `drop` takes it away."""
        return self._start(env_vars=environment)

    def drop(self, node):
        """Take a node away."""
        self._cluster.remove_node(node, allow_graceful=False)

    def end(self):
        """End all its processes, each by its id."""
        self._cluster.shutdown()


@pytest.fixture(scope="session")
def two_nodes():
    """For `ray_cluster`."""
    pytest.importorskip("ray")
    # Short, since the names of sockets are
    directory = tempfile.mkdtemp(prefix="visprep-ray-", dir="/tmp")
    hook = sys.excepthook
    cluster = TwoNodes(directory)
    sys.excepthook = hook
    yield cluster
    cluster.end()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def ray_cluster(two_nodes, monkeypatch):
    """A cluster of two nodes with a processor each; what was killed is there again afterwards."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    yield two_nodes
    two_nodes.mend()
