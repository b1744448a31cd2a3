"""`verify` on a Ray cluster of two nodes: the same findings as on this machine, also when a node is killed."""

import pytest

import visprep
from labeled_places import voc, yolo
from visprep.engines import open_engine

pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Places of several formats, in which every fourth image lost its end."""
    root = tmp_path_factory.mktemp("places")
    voc(root / "voc")
    yolo(root / "yolo")
    for format in ("coco", "frames", "open-images", "tasks", "vton"):
        visprep.download("sample", config=format, output=root / format, limit=6 if format == "tasks" else None)
    for place in root.iterdir():
        images = sorted(path for ending in ("jpg", "png") for path in place.rglob(f"*.{ending}"))
        for image in images[::4]:
            image.write_bytes(image.read_bytes()[:-60])
    return root


def test_the_findings_are_equal_on_ray_also_when_a_node_is_killed(run, places, ray_cluster):
    with open_engine("ray", ray_address=ray_cluster.address) as engine:
        for place in sorted(places.iterdir()):
            here = visprep.verify(place, depth="content")
            assert here.findings
            assert visprep.verify(place, depth="content", engine=engine) == here
        killed = []

        def kill(progress):
            if not killed:
                killed.append(progress.stage)
                ray_cluster.kill_a_node()

        here = visprep.verify(places / "coco", depth="content")
        assert visprep.verify(places / "coco", depth="content", engine=engine, progress=kill) == here
        assert killed
    here, there = (
        run("verify", places / "vton", "--json", *options)
        for options in ((), ("--engine", "ray", "--ray-address", ray_cluster.address))
    )
    assert (there.code, there.out) == (here.code, here.out) == (1, here.out)
