"""Tell "no gradient" from "a gradient of zero".

After backward, .grad is None when there was no reason to compute anything for the tensor, and zero when there
was and the answer is zero. The cures differ, so the program makes each case once and says which it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from reporting import start

Case = tuple[str, str, Callable[[], torch.Tensor]]


def leaf(value: float | list[float] = 2.0, *, requires_grad: bool = True) -> torch.Tensor:
    """Return a fresh leaf tensor."""
    return torch.tensor(value, requires_grad=requires_grad)


def constant() -> torch.Tensor:
    """A tensor that was never asked to require a gradient."""
    c, w = leaf(requires_grad=False), leaf()
    (c * w).backward()
    return c


def unused() -> torch.Tensor:
    """A leaf that the output does not depend on."""
    x, w = leaf(), leaf()
    (w * w).backward()
    return x


def detached() -> torch.Tensor:
    """A leaf that reaches the output only through detach()."""
    x, w = leaf(), leaf()
    (x.detach() * w).backward()
    return x


def under_no_grad() -> torch.Tensor:
    """A leaf whose use was not recorded."""
    x, w = leaf(), leaf()
    with torch.no_grad():
        y = x * 3
    (y * w).backward()
    return x


def non_leaf() -> torch.Tensor:
    """The result of an operation: the gradient passes through it and is not kept."""
    c = leaf() + 1.0
    (4 * c).backward()
    return c


def retained() -> torch.Tensor:
    """The same, asked to keep its gradient."""
    c = leaf() + 1.0
    c.retain_grad()
    (4 * c).backward()
    return c


def not_called() -> torch.Tensor:
    """Everything in place, backward never called."""
    x = leaf()
    _ = x * x
    return x


def dead_relu() -> torch.Tensor:
    """A unit that is off: its local derivative is zero."""
    x = leaf(-2.0)
    torch.relu(x).backward()
    return x


def zero_weight() -> torch.Tensor:
    """A path that is multiplied by zero."""
    x, w = leaf(), leaf(0.0)
    (w * x).backward()
    return x


def zero_upstream() -> torch.Tensor:
    """An output that the upstream vector ignores."""
    x = leaf([1.0, 2.0])
    (x * x).backward(torch.tensor([0.0, 1.0]))
    return x


def minimum() -> torch.Tensor:
    """A stationary point."""
    x = leaf(2.0)
    ((x - 2.0) ** 2).backward()
    return x


def cancelled() -> torch.Tensor:
    """Two paths whose contributions are opposite."""
    x = leaf()
    (3 * x - (x + 2 * x)).backward()
    return x


def rounded() -> torch.Tensor:
    """A piecewise constant function: zero almost everywhere, by mathematics."""
    x = leaf(2.3)
    (torch.round(x) * 5).backward()
    return x


# in each group: the case, what would change the answer, the program
NONE: tuple[Case, ...] = (
    ("requires_grad=False", "ask for it: requires_grad=True", constant),
    ("backward not called", "call backward()", not_called),
    ("not used", "use it, or do not expect a gradient", unused),
    ("cut by detach()", "remove detach()", detached),
    ("used under no_grad", "compute outside no_grad", under_no_grad),
    ("not a leaf", "retain_grad() before backward", non_leaf),
)
ZERO: tuple[Case, ...] = (
    ("relu that is off", "another input, or a leaky unit", dead_relu),
    ("weight of zero", "a weight other than zero", zero_weight),
    ("upstream of zero", "weigh that output", zero_upstream),
    ("stationary point", "nothing is wrong", minimum),
    ("paths that cancel", "nothing is wrong", cancelled),
    ("round()", "a smooth function, or an explicit surrogate", rounded),
)


def read(tensor: torch.Tensor) -> tuple[torch.Tensor | None, bool]:
    """Return .grad, and whether reading it warned that the tensor is not a leaf."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gradient = tensor.grad
    return gradient, any("not a leaf" in str(entry.message) for entry in caught)


def contributions() -> None:
    """Show one program in which four kinds of tensor meet."""
    w1, w2 = leaf(1.0), leaf(2.0, requires_grad=False)
    w3 = leaf(0.0)
    c1, c2 = torch.tensor(-2.0), leaf(10.0) + 1.0
    L = (w1 + c1) ** 2 + w2**3 + 4 * c2
    L.backward()
    found = {name: read(t)[0] for name, t in (("w1", w1), ("w2", w2), ("w3", w3), ("c1", c1), ("c2", c2))}
    print("\nL = (w1 + c1)^2 + w2^3 + 4 c2, w3 unused, c2 computed from a leaf:")
    print(" ", ", ".join(f"{name}.grad = {gradient}" for name, gradient in found.items()))
    assert found["w1"].item() == -2.0
    assert [name for name, gradient in found.items() if gradient is not None] == ["w1"]


def show(name: str, cure: str, gradient: torch.Tensor | None, warned: bool) -> None:
    """Print one row of the table."""
    print(f"  {name:<22}{gradient!s:<20}{cure}{'  (reading it warns)' if warned else ''}")


def main() -> None:
    """Make every case, check what was promised, print the table."""
    report, _ = start("05_none_and_zero", __doc__)
    print("No gradient\n  case                  .grad               what would change it")
    for name, cure, make in NONE:
        gradient, warned = read(make())
        show(name, cure, gradient, warned)
        assert gradient is None, name
        assert warned == (make is non_leaf)
        report.record(**{name: None})
    kept, _ = read(retained())
    show("... and retained", "-", kept, warned=False)
    assert kept.item() == 4.0
    print("A gradient with a zero in it")
    for name, cure, make in ZERO:
        gradient, warned = read(make())
        show(name, cure, gradient, warned)
        assert gradient.reshape(-1)[0].item() == 0.0, name
        report.record(**{name: gradient})
    contributions()
    report.finish()


if __name__ == "__main__":
    main()
