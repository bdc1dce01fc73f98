"""The table of torch's module names against torch itself."""

import importlib

import pytest

from pullback.compat.homes import HOMES

ENTRIES = [
    (room, home, name)
    for room, homes in HOMES.items()
    for home, names in homes.items()
    for name in names.split()
]


@pytest.mark.peers
def test_every_class_is_where_torch_says():
    pytest.importorskip("torch")
    wrong = []
    for room, home, name in ENTRIES:
        module = importlib.import_module(f"torch.{room}" if room else "torch")
        if getattr(module, name).__module__ != home:
            wrong.append((room, home, name, getattr(module, name).__module__))
    assert wrong == []


def test_no_class_is_listed_twice():
    keys = [(room, name) for room, _, name in ENTRIES]
    assert len(keys) == len(set(keys))


def test_printed_types_read_as_in_torch(place):
    place.write(
        "prog.py",
        "import torch, torch.utils.data as data\nprint(torch.Tensor, type(data.Subset([1], [0])))\n",
    )
    subset = "<class 'torch.utils.data.dataset.Subset'>"
    assert place.run("prog.py").stdout == f"<class 'torch.Tensor'> {subset}\n"
