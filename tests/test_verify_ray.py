"""`verify` on a Ray cluster of two nodes: the same findings as on this machine, also when a node is killed."""

import pytest

import visprep
from visprep.engines import open_engine

pytestmark = pytest.mark.xdist_group("ray")


def test_the_findings_are_equal_on_ray_also_when_a_node_is_killed(run, tmp_path, ray_cluster):
    place = tmp_path / "coco"
    visprep.download("sample", config="coco", output=place)
    for image in sorted(place.rglob("*.jpg"))[::4]:
        image.write_bytes(image.read_bytes()[:-60])
    here = visprep.verify(place, depth="content")
    assert len(here.findings) > 2
    alone, there = (
        run("verify", place, "--json", *options)
        for options in ((), ("--engine", "ray", "--ray-address", ray_cluster.address))
    )
    assert (there.code, there.out) == (alone.code, alone.out)
    assert there.code == 1
    killed = []

    def kill(progress):
        if progress.stage == "Reading" and not killed:
            killed.append(progress.done)
            ray_cluster.kill_a_node()

    with open_engine("ray", ray_address=ray_cluster.address) as engine:
        assert visprep.verify(place, depth="content", engine=engine) == here
        assert visprep.verify(place, depth="content", engine=engine, progress=kill) == here
        assert killed == [1]
