"""Data sets, samplers and the loader: against torch's, and against what torch printed."""

import importlib
import warnings
from collections import OrderedDict, defaultdict, deque
from typing import NamedTuple

import numpy as np
import pytest

import pullback as pb
from pullback.utils import data
from pullback.utils.data import collate, samplers


class Pair(NamedTuple):
    x: int
    y: int


def peer():
    """Two libraries over one engine: torch's own rooms, and ours drawing from torch's generators."""
    torch = pytest.importorskip("torch")
    return torch, importlib.import_module("torch.utils.data")


@pytest.fixture
def torch(monkeypatch):
    torch, _ = peer()
    monkeypatch.setattr(samplers, "pb", torch)
    monkeypatch.setattr(collate, "pb", torch)
    return torch


def outcome(torch, function, library, seed=0):
    """What a function of (torch, library) gives: value and where the stream stands after, or the error."""
    torch.manual_seed(seed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = repr(function(torch, library))
        except Exception as error:  # noqa: BLE001 - errors are compared, too
            return type(error).__name__, str(error)
    return value, torch.rand(1).item(), [str(w.message) for w in caught]


def streams(d):
    class Endless(d.IterableDataset):
        def __iter__(self):
            return iter(range(7))

    return Endless()


def generator(t):
    return t.Generator().manual_seed(5)


CASES = {
    # orders, and how much they draw
    "loader": lambda t, d: list(d.DataLoader(range(10), 3)),
    "loader shuffled": lambda t, d: list(d.DataLoader(range(10), 3, shuffle=True)),
    "loader shuffled twice": lambda t, d: [
        list(loader) for loader in [d.DataLoader(range(5), 2, shuffle=True)] * 2
    ],
    "loader generator": lambda t, d: list(d.DataLoader(range(10), 3, shuffle=True, generator=generator(t))),
    "loader drop_last": lambda t, d: list(d.DataLoader(range(10), 3, drop_last=True)),
    "loader unbatched": lambda t, d: list(d.DataLoader(range(6), None, shuffle=True)),
    "loader abandoned": lambda t, d: next(iter(d.DataLoader(range(6), 2, shuffle=True))),
    "loader batch_sampler": lambda t, d: list(d.DataLoader(range(6), batch_sampler=[[0, 1], [5]])),
    "loader sampler": lambda t, d: list(d.DataLoader(range(6), 2, sampler=[3, 1, 2])),
    "loader collate_fn": lambda t, d: list(d.DataLoader(range(6), 4, collate_fn=tuple)),
    "loader rows": lambda t, d: list(d.DataLoader(d.TensorDataset(t.eye(3), t.arange(3)), 2)),
    "loader length": lambda t, d: [len(d.DataLoader(range(10), 3, drop_last=last)) for last in (True, False)],
    "iterator": lambda t, d: [(len(i), iter(i) is i, next(i)) for i in [iter(d.DataLoader(range(5), 2))]],
    "stream": lambda t, d: list(d.DataLoader(streams(d), 3)),
    "stream drop_last": lambda t, d: list(d.DataLoader(streams(d), 3, drop_last=True)),
    "stream unbatched": lambda t, d: list(d.DataLoader(streams(d), None)),
    "stream sum": lambda t, d: list(streams(d) + streams(d)),
    "stream shuffle": lambda t, d: d.DataLoader(streams(d), shuffle=True),
    "stream sampler": lambda t, d: d.DataLoader(streams(d), sampler=[1]),
    "stream batch_sampler": lambda t, d: d.DataLoader(streams(d), batch_sampler=[[1]]),
    "random": lambda t, d: list(d.RandomSampler(range(9))),
    "random replacement": lambda t, d: list(d.RandomSampler(range(9), True, 70)),
    "random more": lambda t, d: list(d.RandomSampler(range(5), num_samples=12)),
    "random multiple": lambda t, d: list(d.RandomSampler(range(5), num_samples=10)),
    "random fewer": lambda t, d: list(d.RandomSampler(range(5), num_samples=2)),
    "random generator state": lambda t, d: [
        (list(d.RandomSampler(range(4), generator=g)), t.rand(1, generator=g)) for g in [generator(t)]
    ],
    "replacement generator state": lambda t, d: [
        (list(d.RandomSampler(range(4), True, 64, generator=g)), t.rand(1, generator=g))
        for g in [generator(t)]
    ],
    "subset random": lambda t, d: list(d.SubsetRandomSampler([3, 1, 9, 4])),
    "weighted": lambda t, d: list(d.WeightedRandomSampler([0.1, 0.2, 0.7], 5)),
    "weighted without": lambda t, d: list(d.WeightedRandomSampler([0.1, 0.2, 0.7], 3, replacement=False)),
    "sequential": lambda t, d: list(d.SequentialSampler("abc")),
    "batches": lambda t, d: [list(d.BatchSampler(range(5), 2, last)) for last in (True, False)],
    "batches length": lambda t, d: [
        len(d.BatchSampler(range(n), 2, x)) for n in (4, 5) for x in (True, False)
    ],
    "split": lambda t, d: [list(part) for part in d.random_split(range(10), [3, 7])],
    "split fractions": lambda t, d: [p.indices for p in d.random_split(range(10), [0.33, 0.33, 0.34])],
    "split generator": lambda t, d: [p.indices for p in d.random_split(range(10), [3, 7], generator(t))],
    "split empty part": lambda t, d: [p.indices for p in d.random_split(range(3), [0.1, 0.1, 0.8])],
    # data sets
    "tensors": lambda t, d: [d.TensorDataset(t.arange(4))[i] for i in (1, -1, slice(1, 3))],
    "tensors wrong": lambda t, d: d.TensorDataset(t.ones(2), t.ones(3)),
    "concat": lambda t, d: [d.ConcatDataset([range(3), range(5)])[i] for i in range(-8, 8)],
    "concat sizes": lambda t, d: d.ConcatDataset([range(3), range(5)]).cumulative_sizes,
    "concat sum": lambda t, d: len(d.TensorDataset(t.ones(3)) + d.TensorDataset(t.ones(2))),
    "concat low": lambda t, d: d.ConcatDataset([range(3)])[-4],
    "concat high": lambda t, d: d.ConcatDataset([[1, 2]])[2],
    "concat none": lambda t, d: d.ConcatDataset([]),
    "concat stream": lambda t, d: d.ConcatDataset([streams(d)]),
    "stack": lambda t, d: [d.StackDataset(range(3), range(3))[1], d.StackDataset(a=range(3))[1]],
    "stack wrong": lambda t, d: d.StackDataset(range(3), range(2)),
    "stack none": lambda t, d: d.StackDataset(),
    "stack both": lambda t, d: d.StackDataset(range(2), a=range(2)),
    "subset": lambda t, d: [list(s) + s.__getitems__([0, 2]) for s in [d.Subset("abcdef", [4, 0, 2])]],
    "subset list": lambda t, d: d.Subset(d.TensorDataset(t.arange(9)), [4, 0, 2])[[0, 1]],
    "subset of subset": lambda t, d: list(d.DataLoader(d.Subset(d.Subset(range(9), [4, 0, 2]), [2, 1]), 2)),
    "no getitem": lambda t, d: d.Dataset()[0],
    "no length": lambda t, d: len(d.Dataset()),
    "no iter": lambda t, d: d.IterableDataset(),
    # wrong arguments
    "both orders": lambda t, d: d.DataLoader(range(3), shuffle=True, sampler=[1]),
    "batch size": lambda t, d: d.DataLoader(range(3), 0),
    "batch size float": lambda t, d: d.DataLoader(range(3), 2.5),
    "batch sampler and size": lambda t, d: d.DataLoader(range(3), 2, batch_sampler=[[1]]),
    "unbatched drop": lambda t, d: d.DataLoader(range(3), None, drop_last=True),
    "workers": lambda t, d: d.DataLoader(range(3), num_workers=-1),
    "timeout": lambda t, d: d.DataLoader(range(3), timeout=-1),
    "prefetch": lambda t, d: d.DataLoader(range(3), prefetch_factor=2),
    "persistent": lambda t, d: d.DataLoader(range(3), persistent_workers=True),
    "late": lambda t, d: setattr(d.DataLoader(range(3)), "batch_size", 2),
    "late sampler": lambda t, d: setattr(d.DataLoader(range(3)), "sampler", 2),
    "empty shuffled": lambda t, d: d.DataLoader([], shuffle=True),
    "empty": lambda t, d: list(d.DataLoader([])),
    "replacement type": lambda t, d: d.RandomSampler(range(3), replacement=2),
    "num_samples": lambda t, d: d.RandomSampler(range(3), num_samples=2.5),
    "weights 2d": lambda t, d: d.WeightedRandomSampler([[1, 2]], 2),
    "weights count": lambda t, d: d.WeightedRandomSampler([1, 2], 0),
    "weights replacement": lambda t, d: d.WeightedRandomSampler([1, 2], 1, 3),
    "drop_last type": lambda t, d: d.BatchSampler(range(5), 2, 1),
    "batch size bool": lambda t, d: d.BatchSampler(range(5), True, False),
    "split sum": lambda t, d: d.random_split(range(10), [3, 3]),
    "split fraction": lambda t, d: d.random_split(range(3), [-0.1, 1.1]),
    "split fractions sum": lambda t, d: d.random_split(range(10), [0.5, 0.6]),
}
BATCHES = {
    "ints": lambda t: [1, 2],
    "floats": lambda t: [1.5, 2],
    "int first": lambda t: [1, 2.5],
    "bools": lambda t: [True, False],
    "text": lambda t: ["a", "b"],
    "bytes": lambda t: [b"a", b"b"],
    "tensors": lambda t: [t.ones(2), t.zeros(2)],
    "tensor and number": lambda t: [t.ones(1), 2],
    "tensors of two sizes": lambda t: [t.ones(1), t.ones(2)],
    "arrays": lambda t: [np.ones(2, "f4"), np.ones(2, "f4")],
    "zero-dimensional arrays": lambda t: [np.array(1), np.array(2)],
    "scalars": lambda t: [np.float32(1), np.float32(2)],
    "float64 scalars": lambda t: [np.float64(1), np.float64(2)],
    "text arrays": lambda t: [np.array("a"), np.array("b")],
    "dicts": lambda t: [{"a": 1, "b": [1, 2]}, {"a": 2, "b": [3, 4]}],
    "ordered": lambda t: [OrderedDict(b=1, a=2), OrderedDict(b=3, a=4)],
    "default": lambda t: [defaultdict(int, a=1), defaultdict(int, a=2)],
    "another key": lambda t: [{"a": 1}, {"b": 1}],
    "tuples": lambda t: [(1, "a"), (2, "b")],
    "lists": lambda t: [[1, 2.0], [3, 4.0]],
    "named tuples": lambda t: [Pair(1, 2), Pair(3, 4)],
    "deques": lambda t: [deque([1, 2]), deque([3, 4])],
    "ranges": lambda t: [range(2), range(2)],
    "two lengths": lambda t: [(1,), (1, 2)],
    "nested": lambda t: [((1, {"k": t.ones(1)}),), ((2, {"k": t.zeros(1)}),)],
    "none": lambda t: [None, None],
    "sets": lambda t: [{1}, {2}],
    "complex": lambda t: [1j, 2j],
    "object": lambda t: [object],
    "empty": lambda t: [],
}


@pytest.mark.peers
@pytest.mark.parametrize("name", CASES)
def test_as_torch_does(torch, name):
    assert outcome(torch, CASES[name], data) == outcome(torch, CASES[name], peer()[1])


@pytest.mark.peers
@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("function", ["default_collate", "default_convert"])
def test_batches_as_torch_makes_them(torch, name, function):
    case = lambda t, d: getattr(d, function)(BATCHES[name](t))
    assert outcome(torch, case, data) == outcome(torch, case, peer()[1])


@pytest.mark.peers
def test_the_signatures_are_torchs(torch):
    import inspect

    _, theirs = peer()
    for name in (
        "DataLoader",
        "RandomSampler",
        "WeightedRandomSampler",
        "BatchSampler",
        "Subset",
        "random_split",
    ):
        ours, other = (inspect.signature(getattr(d, name)).parameters for d in (data, theirs))
        assert list(ours) == list(other), name
        defaults = {k: p.default for k, p in other.items() if name != "random_split"}
        assert {k: ours[k].default for k in defaults} == defaults, name


# ---- over pullback itself: what torch printed


def test_a_shuffled_loader_over_pullback():
    rows = data.TensorDataset(pb.arange(10))
    pb.manual_seed(0)
    loader = data.DataLoader(rows, batch_size=3, shuffle=True)
    assert [batch[0].tolist() for batch in loader] == [[6, 7, 1], [4, 2, 0], [9, 8, 3], [5]]
    assert abs(pb.rand(1).item() - 0.3074) < 5e-5
    pb.manual_seed(0)
    assert len([batch for batch in data.DataLoader(rows, batch_size=3)]) == 4  # noqa: C416 - it is the iteration
    assert abs(pb.rand(1).item() - 0.0885) < 5e-5


def test_samplers_over_pullback():
    seeded = lambda seed: pb.Generator().manual_seed(seed)
    parts = data.random_split(range(10), [3, 7], seeded(42))
    assert [list(part) for part in parts] == [[2, 6, 1], [8, 4, 5, 0, 9, 3, 7]]
    draw = data.RandomSampler(range(5), replacement=True, num_samples=7, generator=seeded(1))
    assert list(draw) == [0, 4, 4, 3, 3, 3, 1]
    more = data.RandomSampler(range(5), num_samples=12, generator=seeded(1))
    assert list(more) == [0, 4, 2, 3, 1, 3, 2, 4, 1, 0, 4, 1]
    assert list(data.SubsetRandomSampler([3, 1, 9], generator=seeded(1))) == [1, 9, 3]
    assert list(data.WeightedRandomSampler([0.1, 0.2, 0.7], 5, generator=seeded(1))) == [0, 1, 1, 1, 2]


def test_collate_over_pullback():
    batch = data.default_collate([{"a": 1, "b": (1.5, np.ones(2))}, {"a": 2, "b": (2.5, np.zeros(2))}])
    assert batch["a"].tolist() == [1, 2]
    assert batch["a"].dtype == pb.int64
    assert batch["b"][0].dtype == pb.float64
    assert batch["b"][1].shape == (2, 2)
