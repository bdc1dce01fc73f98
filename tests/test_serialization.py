"""`save` and `load`: what is shared stays shared, nothing unsafe is run, and PyTorch reads the same files."""

import io
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

import pullback as torch
from pullback import dtypes


def again(obj, **named):
    file = io.BytesIO()
    torch.save(obj, file)
    file.seek(0)
    return torch.load(file, **named)


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 2)])
def test_every_dtype_comes_back(dtype, shape):
    t = torch.ones(shape, dtype=dtype)
    back = again(t)
    assert back.dtype is dtype
    assert torch.equal(back, t)


def test_containers_dtypes_sizes_and_devices_come_back():
    obj = {
        "all": [1, 2.5, "text", None, True, b"bytes", 1j, {1, 2}, (3, [4])],
        "ordered": OrderedDict(x=1),
        "dtype": torch.float16,
        "size": torch.Size([2, 3]),
        "device": torch.device("cpu"),
    }
    back = again(obj)
    assert back == obj
    assert back["dtype"] is torch.float16
    assert type(back["size"]) is torch.Size


def test_views_are_views_again():
    t = torch.arange(6.0).view(2, 3)
    whole, row, turned, wide = again([t, t[1], t.t(), torch.ones(1).expand(4)])
    whole[1, 0] = 100
    assert row[0] == turned[0, 1] == 100
    assert turned.stride() == (1, 3)
    assert wide.stride() == (0,)


def test_a_reversed_array_is_written_as_a_copy():
    array = np.arange(4.0)
    t = torch.from_numpy(array)
    t.value = array[::-1]
    assert again(t).tolist() == [3, 2, 1, 0]


def test_leaves_and_parameters_stay_what_they_are():
    x = torch.ones(2, requires_grad=True)
    leaf, result, plain, parameter = again([x, x * 2, x.detach(), torch.nn.Parameter(torch.zeros(1))])
    assert leaf.requires_grad
    assert result.is_leaf
    assert not plain.requires_grad
    assert type(parameter) is torch.nn.Parameter


def test_modules_need_trust():
    model = torch.nn.Linear(2, 1)
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        again(model)
    x = torch.ones(2)
    assert torch.equal(again(model, weights_only=False)(x), model(x))


class Attack:
    def __reduce__(self):
        return exec, ("raise SystemExit('ran')",)


def test_a_file_cannot_run_code():
    with pytest.raises(pickle.UnpicklingError, match="exec"):
        again(Attack())


def test_a_tensor_cannot_look_outside_its_storage():
    file = io.BytesIO()
    torch.save(torch.ones(4), file)
    damaged = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(damaged, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(
                name, content.replace(b"K\x04\x85", b"K\x40\x85") if name.endswith("pkl") else content
            )
    with pytest.raises(RuntimeError, match="outside its storage"):
        torch.load(damaged)


def test_paths_and_places(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"a": torch.ones(1)}, path)
    assert torch.load(str(path), map_location="cpu")["a"] == 1
    with pytest.raises(RuntimeError, match=r"Parent directory .* does not exist\."):
        torch.save(1, tmp_path / "none" / "x.pt")
    with pytest.raises(FileNotFoundError):
        torch.load(tmp_path / "y.pt")
    with pytest.raises(AttributeError, match="with a 'write' attribute"):
        torch.save(1, 3)
    with pytest.raises(AttributeError, match="'int' object has no attribute 'seek'"):
        torch.load(3)
    with pytest.raises(EOFError, match="Ran out of input"):
        torch.load(io.BytesIO())
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        torch.load(io.BytesIO(b"no archive"))


OTHER_SIDE = """
import sys, torch
d = torch.load(sys.argv[1])
d["view"][0] = 7
assert d["t"].tolist() == [[7, 1, 2], [3, 4, 5]] and d["p"].requires_grad and d["h"].dtype is torch.float16
assert type(d["p"]) is torch.nn.Parameter and d["z"].shape == (0, 3) and d["n"].item() == 2
out = {"t": d["t"], "turned": d["t"].t(), "p": d["p"], "c": torch.tensor([1 + 2j]), "b": b"ab"}
torch.save(out, sys.argv[1])
"""


@pytest.mark.peers
def test_pytorch_reads_our_files_and_we_read_its(tmp_path):
    pytest.importorskip("torch")
    path = tmp_path / "x.pt"
    t = torch.arange(6.0).view(2, 3)
    torch.save(
        {
            "t": t,
            "view": t[0],
            "p": torch.nn.Parameter(torch.ones(2)),
            "h": torch.ones(2).half(),
            "z": torch.zeros(0, 3),
            "n": torch.tensor(2),
        },
        path,
    )
    subprocess.run([sys.executable, "-c", OTHER_SIDE, path], check=True)
    back = torch.load(path)
    back["turned"][0, 0] = 8
    assert back["t"][0].tolist() == [8, 1, 2]
    assert type(back["p"]) is torch.nn.Parameter
    assert (back["c"].tolist(), back["b"]) == ([1 + 2j], b"ab")
