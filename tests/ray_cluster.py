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
        from ray._common.utils import get_default_ray_temp_dir
        from ray.cluster_utils import Cluster

        # A head notes its address there, wherever else it lies; on a machine that never ran Ray there is no such place
        Path(get_default_ray_temp_dir()).mkdir(parents=True, exist_ok=True)
        self._cluster, self._directory = Cluster(shutdown_at_exit=False), directory
        try:
            self._start(no_monitor=True, include_dashboard=False)
            self._other = self._start()
        except BaseException:
            self.end()
            raise
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

    def kill_the_head(self):
        """Kill what drivers see of a head on another machine."""
        (head,) = self._cluster.head_node.all_processes["gcs_server"]
        head.process.kill()

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


class Kept:
    """The cluster that tests which follow each other share, and one connection to it: each starts workers of its own.

    It starts when the first of them asks, and ends when the next test is none of them.
    """

    def __init__(self):
        self._cluster = self._directory = self._connection = None

    def ready(self):
        """The cluster, with two nodes, and this process in it."""
        from visprep.engines.ray import Ray

        if self._cluster is None:
            # Short, since the names of sockets are
            self._directory = tempfile.mkdtemp(prefix="visprep-ray-", dir="/tmp")
            hook = sys.excepthook
            self._cluster = TwoNodes(self._directory)
            sys.excepthook = hook
        self._cluster.mend()
        if self._connection is None:
            self._connection = Ray(address=self._cluster.address)
            self._connection.room()
        return self._cluster

    def leave(self):
        """Take this process out of it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def end(self):
        """End all of it."""
        self.leave()
        if self._cluster is not None:
            self._cluster.end()
            self._cluster = None
            shutil.rmtree(self._directory, ignore_errors=True)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self, nextitem):
        """When the fixtures of a test are through."""
        if nextitem is None or not turn(nextitem) < 2:
            self.end()


def turn(item):
    """When a test runs: those on a cluster first, so next to each other and in one process; last who ends it."""
    if item.get_closest_marker("xdist_group") is None:
        return 2
    return int("dying_cluster" in item.fixturenames)


@pytest.fixture(scope="session")
def two_nodes(request):
    """For `ray_cluster`."""
    pytest.importorskip("ray")
    kept = Kept()
    request.config.pluginmanager.register(kept)
    yield kept
    kept.end()


@pytest.fixture
def ray_cluster(two_nodes, monkeypatch):
    """A cluster of two nodes with a processor each, which this process is in; nodes may be killed."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    return two_nodes.ready()


@pytest.fixture
def dying_cluster(two_nodes, ray_cluster):
    """One whose head may be killed, so this process has left it."""
    two_nodes.leave()
    yield ray_cluster
    two_nodes.end()
