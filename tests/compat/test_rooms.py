"""What `import torch` gives, with a tiny package in pullback's place."""

import importlib
import sys
from types import ModuleType

import pytest

from pullback.compat import missing, torch_replaced
from pullback.compat.absent import Absent
from pullback.compat.devices import TorchVersion


def tiny():
    """A package with a few names and rooms, one of them an imported stranger, one private."""

    class Tensor:
        pass

    class Linear:
        pass

    functional = ModuleType("tiny.nn.functional")
    functional.relu = lambda x: max(x, 0)
    nn = ModuleType("tiny.nn")
    nn.Linear, nn.functional, nn.sys = Linear, functional, sys
    linalg = ModuleType("tiny.linalg")
    linalg.solve = lambda a, b: b / a
    graph = ModuleType("tiny.graph")
    root = ModuleType("tiny")
    root.Tensor, root.einsum, root.float32 = Tensor, lambda *a: a, "float32"
    root.nn, root.linalg, root.graph, root._secret = nn, linalg, graph, 1
    return root


@pytest.fixture
def engine():
    return tiny()


@pytest.fixture
def torch(engine):
    with torch_replaced(engine) as module:
        yield module


def test_every_way_to_import_gives_the_same_objects(torch, engine):
    import torch.nn.functional as F
    from torch import Tensor, linalg, nn
    from torch import nn as again
    from torch.linalg import solve

    assert sys.modules["torch"] is torch
    assert nn is again is torch.nn is sys.modules["torch.nn"]
    assert F is nn.functional
    assert F.relu is engine.nn.functional.relu
    assert Tensor is engine.Tensor
    assert solve is linalg.solve is engine.linalg.solve
    assert torch.float32 == "float32"


def test_names_that_are_no_part_of_torch_stay_hidden(torch):
    for name in ("graph", "_secret", "missing"):
        assert not hasattr(torch, name), name
    assert not hasattr(torch.nn, "sys")
    assert {"Tensor", "einsum"} <= set(dir(torch))
    assert "_secret" not in dir(torch)
    assert "sys" not in dir(torch.nn)


def test_star_import_brings_the_public_names(torch):
    names = {}
    exec("from torch.nn.functional import *", names)
    assert "relu" in names


def test_an_engine_name_that_changes_is_seen_to_change(torch, engine):
    assert torch.float32 == "float32"
    engine.float32 = "other"
    assert torch.float32 == "other"


def test_a_name_set_on_a_room_does_not_reach_the_engine(torch, engine):
    torch.einsum = None
    assert torch.einsum is None
    assert engine.einsum is not None


def test_everything_is_as_before_after_the_with(engine):
    before = dict(sys.modules), list(sys.meta_path), engine.Tensor.__module__
    stranger = sys.modules["torch"] = ModuleType("torch")
    try:
        with torch_replaced(engine) as torch:
            import torch.nn
            from torch import nope  # noqa: F401

            assert engine.Tensor.__module__ == "torch"
            with torch_replaced(engine) as inner:
                assert inner is not torch
            assert sys.modules["torch"] is torch
        assert sys.modules["torch"] is stranger
    finally:
        del sys.modules["torch"]
    sys.modules.update({k: v for k, v in before[0].items() if k.partition(".")[0] == "torch"})
    assert set(sys.modules) == set(before[0])
    assert sys.meta_path == before[1]
    assert engine.Tensor.__module__ == before[2]


def test_a_module_that_took_a_room_is_forgotten(engine, tmp_path, monkeypatch):
    (tmp_path / "took_a_room.py").write_text("import torch\n")
    monkeypatch.syspath_prepend(tmp_path)
    with torch_replaced(engine):
        module = importlib.import_module("took_a_room")
        assert module.torch.einsum is engine.einsum
    assert "took_a_room" not in sys.modules


def test_it_is_undone_when_the_body_raises(engine):
    finders = list(sys.meta_path)
    with pytest.raises(KeyError), torch_replaced(engine):
        raise KeyError
    assert sys.meta_path == finders


# ---- names that are missing


def test_a_missing_attribute_says_where_and_what_is_near(torch):
    with pytest.raises(AttributeError) as caught:
        torch.einsom("i,i")
    text = str(caught.value)
    assert text.startswith("module 'torch' has no attribute 'einsom'\n")
    assert "pullback has no torch.einsom" in text
    assert "test_rooms.py:" in text
    assert "torch.einsum" in text


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("relu", "torch.nn.functional.relu"),  # another room
        ("solve", "torch.linalg.solve"),
        ("linear", "torch.nn.Linear"),  # other capitals
        ("tensor", "torch.Tensor"),
        ("jit", "torch.compile"),  # the table of alternatives
    ],
)
def test_the_nearest_name(torch, name, near):
    assert near in str(missing("torch", name))


def test_nothing_near_is_not_invented(torch):
    assert "try:" not in str(missing("torch", "zzzzzzzz"))


def test_missing_serves_pullback_itself():
    assert str(missing("pullback", "Tensorr")).startswith("module 'pullback' has no attribute 'Tensorr'")
    assert str(missing("pullback", "__wrapped__")) == "module 'pullback' has no attribute '__wrapped__'"
    assert "pullback.Tensor" in str(missing("pullback", "Tensr"))


def test_a_missing_name_imports_and_fails_in_use(torch):
    from torch import nope
    from torch.jit import deep, script

    assert repr(nope) == "<torch.nope: not in pullback>"
    assert not hasattr(torch, "nope")
    assert not hasattr(torch, "jit")
    assert not isinstance(1, nope)
    assert not isinstance(1, (nope, str))
    assert not issubclass(int, nope)
    assert nope == nope
    assert {nope: 1}[nope] == 1
    uses = {
        "called": lambda: script(print),
        "subclassed": lambda: type("A", (), {}) and exec("class A(nope): pass", {"nope": nope}),
        "compared": lambda: nope == 1,
        "used as a truth value": lambda: bool(nope),
        "indexed": lambda: nope[0],
        "looped over": lambda: list(nope),
        "used in a with statement": lambda: exec("with nope: pass", {"nope": nope}),
        "used as a number": lambda: 1 + nope,
        "set": lambda: setattr(nope, "x", 1),
    }
    for used, use in uses.items():
        with pytest.raises(NotImplementedError) as caught:
            use()
        text = str(caught.value)
        assert f"and was {used}" in text, used
        assert "is not in pullback" in text
        assert text.count("test_rooms.py:") >= 1  # imported here
    with pytest.raises(AttributeError, match=r"torch\.jit\.deep\.cut is not in pullback, and was read"):
        deep.cut


def test_a_placeholder_may_stand_in_an_annotation(torch):
    from typing import Optional

    from torch import nope

    def f(x: nope | None, y: Optional[nope], z: nope) -> "nope":  # noqa: UP045
        return z

    assert f(1, 2, 3) == 3


def test_the_place_of_import_and_of_use_are_both_named(torch):
    from torch.jit import script

    def use():
        script()

    with pytest.raises(NotImplementedError) as caught:
        use()
    numbers = {
        line.rpartition(":")[2] for line in str(caught.value).replace(")", "").split() if ".py:" in line
    }
    assert len(numbers) == 2


def test_a_missing_module_is_a_placeholder_and_a_name_is_no_module(torch):
    from torch.distributed import rpc

    assert isinstance(rpc, Absent)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("torch.Tensor")


# ---- rooms that say that there is only a CPU


def test_devices_are_absent(torch):
    import torch.distributed as dist
    from torch.backends import cudnn

    assert torch.cuda.is_available() is False
    assert torch.cuda.device_count() == 0
    assert torch.backends.mps.is_available() is False
    assert torch.xpu.is_available() is False
    assert dist.is_available() is False
    assert torch.version.cuda is None
    assert torch.cuda.manual_seed_all(0) is None
    cudnn.deterministic = True
    assert torch.backends.cudnn.deterministic is True
    with pytest.raises(AttributeError, match="is_available"):
        torch.cuda.Stream()


def test_a_setting_ends_with_the_replacement(engine):
    with torch_replaced(engine) as torch:
        torch.backends.cudnn.benchmark = True
    with torch_replaced(engine) as torch:
        assert torch.backends.cudnn.benchmark is False


def test_split_rooms_of_torch_are_found(torch):
    from torch.nn.modules.linear import Linear

    assert Linear is torch.nn.Linear


def test_version(torch):
    version = torch.__version__
    assert version == "2.13.0+pullback"
    assert version > "2.4"
    assert version >= (2, 13)
    assert version < TorchVersion("3")
    assert version <= "2.13.0"
    with pytest.raises(TypeError, match="a version compares with"):
        assert version < 2


def package(folder, name, **files):
    """A package written to disk whose rooms are imported on first use."""
    (folder / name).mkdir()
    for file, text in files.items():
        (folder / name / f"{file}.py").write_text(text)


def test_rooms_that_are_imported_on_first_use(tmp_path, monkeypatch):
    root = "from pullback.compat import missing\ndef __getattr__(name): raise missing('lazy_engine', name)\n"
    package(
        tmp_path,
        "lazy_engine",
        __init__=root,
        linalg="def solve(): ...",
        random="1 / 0",
        optim="import nowhere",
    )
    monkeypatch.syspath_prepend(tmp_path)
    lazy = importlib.import_module("lazy_engine")
    try:
        with torch_replaced(lazy) as torch:
            assert "torch.linalg.solve" in str(missing("torch", "solve"))
            assert torch.linalg.solve is lazy.linalg.solve
            assert not hasattr(torch, "nope")
            with pytest.raises(ModuleNotFoundError, match="nowhere"):
                torch.optim.SGD
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "lazy_engine"]:
            del sys.modules[name]


def test_a_room_whose_module_is_a_function_can_be_called():
    with torch_replaced() as torch:
        from torch.autograd import gradcheck
        from torch.autograd.gradcheck import GradcheckError

        x = torch.ones(2, dtype=torch.float64, requires_grad=True)
        assert gradcheck is torch.autograd.gradcheck
        assert gradcheck(torch.sin, x)
        assert issubclass(GradcheckError, RuntimeError)
        assert not callable(torch.autograd.functional)
