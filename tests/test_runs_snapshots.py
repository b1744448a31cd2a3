"""States of a training as the bytes of the file that they become: all of it, once, and as it was at that moment."""

from __future__ import annotations

import argparse
import collections
import io
import os
import subprocess
import threading
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is in the torch extra")

from visprep.errors import UsageError  # noqa: E402
from visprep.runs.snapshots import Snapshot  # noqa: E402
from visprep.runs.torch_zip import Layout  # noqa: E402


def image_of(snapshot: Snapshot) -> bytes:
    with snapshot.reading() as image:
        return bytes(image)


def loaded(snapshot: Snapshot, **how):
    return torch.load(io.BytesIO(image_of(snapshot)), weights_only=True, **how)


def through(state, **how):
    snapshot = Snapshot(**how)
    snapshot.take(state)
    return loaded(snapshot)


def as_torch_saves(state) -> zipfile.ZipFile:
    target = io.BytesIO()
    torch.save(state, target)
    return zipfile.ZipFile(target)


def trained() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8))
    optimizer = torch.optim.Adam(net.parameters(), amsgrad=True)
    net(torch.randn(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    return net, optimizer


def same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        kept = ("dtype", "shape", "requires_grad", "layout")
        alike = all(getattr(one, name) == getattr(other, name) for name in kept) and one.stride() == other.stride()
        as_bytes = [part.detach().contiguous().view(-1).view(torch.uint8) for part in (one, other)]
        return type(one) is type(other) and alike and torch.equal(*as_bytes)
    if isinstance(one, dict):
        return type(one) is type(other) and [*one] == [*other] and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


ODD = {
    "a view": lambda: torch.arange(10)[2:5],
    "columns": lambda: torch.arange(12.0).reshape(3, 4)[:, 1],
    "transposed": lambda: torch.arange(12.0).reshape(3, 4).t(),
    "expanded": lambda: torch.ones(1).expand(3),
    "nothing": lambda: torch.empty(0),
    "one number": lambda: torch.tensor(3.5),
    "half": lambda: torch.randn(5).half(),
    "bfloat16": lambda: torch.randn(5).bfloat16(),
    "float8": lambda: torch.randn(5).to(torch.float8_e4m3fn),
    "uint16": lambda: torch.arange(5).to(torch.uint16),
    "complex": lambda: torch.randn(5, dtype=torch.complex64),
    "bool": lambda: torch.tensor([True, False]),
    "parameter": lambda: torch.nn.Parameter(torch.ones(3)),
    "frozen parameter": lambda: torch.nn.Parameter(torch.ones(3), requires_grad=False),
    "wants a gradient": lambda: torch.ones(3, requires_grad=True),
    "not a leaf": lambda: torch.ones(3, requires_grad=True) * 2,
    "not a number": lambda: torch.tensor([float("nan"), float("inf")]),
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD.keys())
def test_tensors_of_every_kind_come_back_as_torch_save_has_them(make):
    state = {"it": make(), "again": [make()]}
    target = io.BytesIO()
    torch.save(state, target)
    target.seek(0)
    assert same(through(state), torch.load(target, weights_only=True))


def test_sparse_and_conjugated_tensors_are_saved_too():
    state = {"sparse": torch.eye(3).to_sparse(), "conjugated": torch.randn(3, dtype=torch.complex64).conj()}
    back = through(state)
    assert torch.equal(back["sparse"].to_dense(), torch.eye(3))
    assert torch.equal(back["conjugated"], state["conjugated"])


def test_what_else_is_in_a_state():
    state = {
        "epoch": 3,
        "large": 10**30,
        "rate": 1e-4,
        "text": "Glück",
        "bytes": b"\0x",
        "none": None,
        "yes": True,
        7: [1, (2, 3), []],
        "set": {1, 2},
        "ordered": collections.OrderedDict(b=1, a=2),
        "counted": collections.Counter("aab"),
        "size": torch.Size([2, 3]),
        "dtype": torch.float16,
        "device": torch.device("cpu"),
    }
    assert same(through(state), state)


_PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(min_size=1)


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(
        _PLAIN,
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
        max_leaves=20,
    )
)
def test_any_nesting_comes_back(state):
    assert same(through(state), state)


def test_what_is_pickled_is_what_torch_save_pickles():
    net, optimizer = trained()
    state = {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "views": [torch.arange(9)[3:], 1]}
    snapshot = Snapshot()
    snapshot.take(state)
    theirs, ours = as_torch_saves(state), zipfile.ZipFile(io.BytesIO(image_of(snapshot)))
    assert ours.testzip() is None
    assert ours.read("archive/data.pkl") == theirs.read("archive/data.pkl")
    tensors = [name for name in theirs.namelist() if name.startswith("archive/data/")]
    assert len(tensors) > 20
    assert all(ours.read(name) == theirs.read(name) for name in tensors)


def test_a_model_keeps_the_versions_of_its_modules():
    net, _ = trained()
    assert through(net.state_dict())._metadata == net.state_dict()._metadata
    assert net.state_dict()._metadata["1"]["version"] == 2


def test_a_training_goes_on_from_it_as_if_nothing_had_been():
    torch.manual_seed(1)
    net, optimizer = trained()
    saved = through({"net": net.state_dict(), "optimizer": optimizer.state_dict()})
    other = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8))
    second = torch.optim.Adam(other.parameters(), amsgrad=True)
    other.load_state_dict(saved["net"])
    second.load_state_dict(saved["optimizer"])
    data = torch.randn(2, 3, 8, 8)
    for model, steps in ((net, optimizer), (other, second)):
        steps.zero_grad()
        model(data).square().sum().backward()
        steps.step()
    assert all(map(torch.equal, net.state_dict().values(), other.state_dict().values()))


def test_it_is_the_state_of_its_moment():
    weights, history = torch.zeros(100_000), [1]
    snapshot = Snapshot()
    snapshot.take({"weights": weights, "history": history, "small": weights[:3].clone()})
    weights += 1
    history.append(2)
    back = loaded(snapshot)
    assert back["weights"].sum() == 0
    assert back["history"] == [1]


# -- memory


def address(snapshot: Snapshot) -> int:
    with snapshot.reading() as image:
        return np.frombuffer(image, np.uint8).ctypes.data


def test_the_same_memory_is_used_again():
    snapshot = Snapshot()
    state = {"weights": torch.randn(1_000_000), "step": 1}
    snapshot.take(state)
    first, before = address(snapshot), snapshot.size
    state["weights"] += 1
    state["note"] = "a little more than before"
    snapshot.take(state)
    assert address(snapshot) == first
    assert snapshot.size > before
    assert torch.equal(loaded(snapshot)["weights"], state["weights"])


def test_it_grows_with_the_state_and_takes_smaller_ones():
    snapshot = Snapshot()
    for count in (10, 5_000_000, 3, 0, 1_000_000):
        snapshot.take({"weights": torch.full((count,), float(count))})
        assert torch.equal(loaded(snapshot)["weights"], torch.full((count,), float(count)))


def test_what_shares_memory_is_held_once_and_shares_it_after_loading():
    whole = torch.randn(1_000_000)
    state = {"embedding": whole, "head": whole.view(1000, 1000), "part": whole[10:20]}
    snapshot = Snapshot()
    snapshot.take(state)
    assert snapshot.size < 4_000_000 + 10_000
    back = loaded(snapshot)
    back["embedding"][10] = 42
    assert back["head"][0, 10] == back["part"][0] == 42


def test_a_forked_worker_that_takes_one_leaves_that_of_its_parent_alone():
    snapshot = Snapshot()
    snapshot.take({"whose": torch.zeros(10)})
    child = os.fork()
    if not child:
        snapshot.take({"whose": torch.ones(10)})
        os._exit(int(loaded(snapshot)["whose"].sum()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 10
    assert loaded(snapshot)["whose"].sum() == 0


# -- what is refused


class Own:
    pass


@pytest.mark.parametrize(
    ("state", "path", "hint"),
    [
        ({"metrics": {"loss": np.float64(1)}}, "state['metrics']['loss']", "item"),
        ({"a": [1, {"b": np.ones(3)}]}, "state['a'][1]['b']", "from_numpy"),
        ({"loader": (1, lambda: 1)}, "state['loader'][1]", "tensors, numbers"),
        ({"net": torch.nn.Linear(1, 1)}, "state['net']", "state_dict()"),
        ({"own": {3: Own()}}, "state['own'][3]", "tensors, numbers"),
        ({"rest": (one for one in ())}, "state['rest']", "tensors, numbers"),
        ({np.int64(3): 1}, "state[np.int64(3)]", "item"),
        ({"set": {Own()}}, "state['set']", "tensors, numbers"),
        (argparse.Namespace(lr=1), "state", "tensors, numbers"),
        ({"lock": threading.Lock()}, "state['lock']", "tensors, numbers"),
    ],
)
def test_what_could_not_be_loaded_is_refused_where_it_stands(state, path, hint):
    snapshot = Snapshot()
    snapshot.take({"before": torch.ones(1)})
    with pytest.raises(UsageError) as told:
        snapshot.take(state)
    assert told.value.message.startswith(f"{path} ")
    assert hint in told.value.hint
    assert loaded(snapshot) == {"before": torch.ones(1)}


def test_empty_bytes_are_refused_since_torch_refuses_them():
    with pytest.raises(UsageError, match=r"state\['none'\]"):
        Snapshot().take({"some": b"x", "none": b""})


def test_what_was_refused_once_is_refused_again():
    for _ in range(2):
        with pytest.raises(UsageError):
            Snapshot().take({"good": torch.ones(1), "bad": Own()})


def test_memory_seen_as_two_types_is_refused_as_torch_save_does():
    whole = torch.ones(4)
    state = {"both": {"a": whole, "b": whole.view(torch.int32)}}
    with pytest.raises(RuntimeError):
        torch.save(state, io.BytesIO())
    with pytest.raises(UsageError, match=r"state\['both'\]"):
        Snapshot().take(state)


def test_a_state_that_holds_itself_is_refused_or_saved_but_ends():
    state = {"bad": Own()}
    state["self"] = state
    with pytest.raises(UsageError):
        Snapshot().take(state)


@pytest.mark.parametrize("inside", [1, Own()])
def test_a_state_that_is_nested_too_deeply_is_refused(inside):
    state = {"deep": inside}
    for _ in range(20_000):
        state = [state]
    with pytest.raises(UsageError, match="nested"):
        Snapshot().take(state)


def test_none_is_taken_while_one_is_written():
    snapshot = Snapshot()
    with pytest.raises(UsageError), snapshot.reading():
        pass
    snapshot.take([1])
    with snapshot.reading() as one, snapshot.reading() as other:
        assert one == other
        assert one.readonly
        with pytest.raises(UsageError):
            snapshot.take([2])
    snapshot.take([2])
    assert loaded(snapshot) == [2]


# -- the file


@pytest.mark.parametrize("zip64_from", [1, 100, 3000, 60_000, 0xFFFFFFFF])
def test_the_file_is_a_zip_whatever_its_size(zip64_from, tmp_path):
    """Above 4 GiB a zip has other fields; `zip64_from` lets them begin sooner."""
    state = {"small": torch.arange(3), "large": torch.randn(20_000), "more": [torch.ones(2)] * 3}
    snapshot = Snapshot(zip64_from=zip64_from)
    snapshot.take(state)
    file = tmp_path / "it.pt"
    file.write_bytes(image_of(snapshot))
    assert zipfile.ZipFile(file).testzip() is None
    for mapped in (False, True):
        assert same(torch.load(file, weights_only=True, mmap=mapped), state)
    assert torch.serialization.get_unsafe_globals_in_checkpoint(file) == []


def test_records_begin_where_they_can_be_mapped():
    snapshot = Snapshot()
    numbers = [torch.full((count,), 7.0) for count in (1, 3, 1000)]
    snapshot.take(numbers)
    image = image_of(snapshot)
    for one in numbers:
        assert any(image.startswith(one.numpy().tobytes(), at) for at in range(0, len(image), 64))


def test_other_tools_can_unpack_it(tmp_path):
    snapshot = Snapshot()
    snapshot.take({"weights": torch.randn(1000)})
    (tmp_path / "it.pt").write_bytes(image_of(snapshot))
    try:
        done = subprocess.run(["unzip", "-tqq", tmp_path / "it.pt"], check=False)
    except FileNotFoundError:
        pytest.skip("unzip is not installed")
    assert done.returncode == 0


def test_more_records_than_an_old_zip_holds():
    layout = Layout([(f"archive/data/{number}", number % 3) for number in range(66_000)])
    image = bytearray(layout.size)

    def put(at, data):
        assert not any(image[at : at + len(data)])
        image[at : at + len(data)] = data

    layout.write(put, [zlib.crc32(bytes(number % 3)) for number in range(66_000)])
    assert len(image) == layout.size
    whole = zipfile.ZipFile(io.BytesIO(image))
    assert len(whole.namelist()) == 66_000
    assert whole.read("archive/data/65999") == bytes(65_999 % 3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_tensors_of_a_gpu_come_back_as_those_of_the_cpu():
    weights = torch.randn(1_000_000, device="cuda")
    back = through({"weights": weights, "part": weights[5:9]})
    assert back["weights"].device.type == "cpu"
    assert torch.equal(back["weights"], weights.cpu())
    assert torch.equal(back["part"], weights[5:9].cpu())
