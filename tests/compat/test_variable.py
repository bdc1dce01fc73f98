"""`torch.autograd.Variable`, over pullback and over torch."""

import pytest

import pullback as pb
from pullback.compat import torch_replaced, variable


@pytest.mark.parametrize("engine", ["pullback", "torch"])
def test_a_variable_is_a_leaf_over_the_same_memory(monkeypatch, engine):
    library = pb if engine == "pullback" else pytest.importorskip("torch")
    monkeypatch.setattr(variable, "pb", library)
    kinds = [variable.Variable] if engine == "pullback" else [variable.Variable, library.autograd.Variable]
    for kind in kinds:
        x = library.ones(2)
        v = kind(x, requires_grad=True)
        assert type(v) is library.Tensor
        assert (v.requires_grad, v.is_leaf, x.requires_grad) == (True, True, False)
        with library.no_grad():
            v[0] = 5
        assert x.tolist() == [5, 1]
        assert isinstance(x, kind)
        assert not isinstance(1, kind)
        assert kind(library.ones(1, requires_grad=True) * 2).requires_grad is False
        assert kind().shape == (0,)
        with pytest.raises(TypeError, match="Variable data has to be a tensor, but got list"):
            kind([1.0])
        with pytest.warns(UserWarning, match="volatile was removed"):
            kind(x, volatile=True)


def test_it_is_found_in_its_room():
    with torch_replaced():
        from torch.autograd import Variable
        from torch.autograd.variable import Variable as again

        assert Variable is again is variable.Variable
