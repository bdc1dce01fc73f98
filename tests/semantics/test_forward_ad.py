"""torch.autograd.forward_ad: dual tensors in a level, against closed forms and the stated errors."""

from __future__ import annotations

import pytest

import pullback as pb
from pullback.autograd import forward_ad as fw


def test_a_dual_tensor_carries_its_tangent_through_ops() -> None:
    x, v = pb.tensor([1.0, 2.0], dtype=pb.float64), pb.tensor([1.0, -3.0], dtype=pb.float64)
    with fw.dual_level() as level:
        assert level == 0
        y = fw.make_dual(x, v) ** 3 + 1
        primal, tangent = fw.unpack_dual(y)
    assert primal.tolist() == [2.0, 9.0]
    assert tangent.tolist() == [3.0, -36.0]


def test_a_tensor_without_tangent_unpacks_to_none() -> None:
    with fw.dual_level():
        x = pb.ones(2)
        assert fw.unpack_dual(x) == (x, None)


def test_the_primal_stays_connected_to_a_leaf() -> None:
    x = pb.tensor(2.0, requires_grad=True)
    with fw.dual_level():
        y = fw.make_dual(x, pb.tensor(1.0)) ** 2
        primal, tangent = fw.unpack_dual(y)
        tangent.backward()
    assert primal.requires_grad
    assert x.grad is not None
    assert x.grad.item() == 2.0


def test_recording_is_switched_on_for_the_level_only() -> None:
    with pb.no_grad():
        with fw.dual_level():
            tangent = fw.unpack_dual(pb.sin(fw.make_dual(pb.tensor(0.0), pb.tensor(5.0)))).tangent
        assert not pb.is_grad_enabled()
    assert tangent.item() == 5.0


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (
            lambda: fw.make_dual(pb.ones(2), pb.ones(3)),
            RuntimeError,
            "Trying to set a forward gradient that has a diff",
        ),
        (
            lambda: fw.make_dual(pb.tensor([1]), pb.ones(1)),
            ValueError,
            "Expected primal to be floating point or complex",
        ),
        (
            lambda: fw.make_dual(pb.ones(1), pb.tensor([1])),
            ValueError,
            "Expected tangent to be floating point or comp",
        ),
        (fw.enter_dual_level, RuntimeError, "Nested forward mode AD is not supported at the moment"),
    ],
)
def test_errors_inside_a_level(make: object, kind: type[Exception], text: str) -> None:
    with fw.dual_level(), pytest.raises(kind, match=text):
        make()  # type: ignore[operator]


def test_outside_a_level_no_dual_tensor_can_be_made() -> None:
    with pytest.raises(
        RuntimeError, match="^Trying to create a dual Tensor for forward AD but no level exists, make sure"
    ):
        fw.make_dual(pb.ones(1), pb.ones(1))
    with pytest.raises(RuntimeError, match="Trying to exit a forward AD level"):
        fw.exit_dual_level()
