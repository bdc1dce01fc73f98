"""Read a gradient as a sensitivity: how far the output moves when an input moves a little.

Scalar functions with their tangents, functions of several variables, and what backward does with a vector of
outputs. Derivatives are checked against formulas and central differences, the definition made finite.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from reporting import BLUE, GREY, ORANGE, Report, array, start

Curve = tuple[str, Callable[[torch.Tensor], torch.Tensor], float, float | None]
CURVES: tuple[Curve, ...] = (
    ("4w + w^3", lambda w: 4 * w + w**3, 1.0, 7.0),
    ("4w - w^3", lambda w: 4 * w - w**3, 1.5, -2.75),
    ("exp(-w) sin(3w)", lambda w: torch.exp(-w) * torch.sin(3 * w), 0.5, None),
)
STEP = 1e-5  # central difference in float64: truncation error near h^2, rounding error near 1e-16 / h


def slope(function: Callable[[torch.Tensor], torch.Tensor], at: float) -> float:
    """Return dL/dw at one point, by backward."""
    w = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    function(w).backward()
    return w.grad.item()


def central_difference(function: Callable[[torch.Tensor], torch.Tensor], at: torch.Tensor) -> torch.Tensor:
    """Return the gradient of a scalar function of a vector, entry by entry, without differentiation."""
    steps = STEP * torch.eye(at.numel(), dtype=at.dtype)
    return torch.stack([(function(at + h) - function(at - h)) / (2 * STEP) for h in steps])


def scalar_curves() -> list[float]:
    """Differentiate the curves, each at its point."""
    slopes = []
    print("Functions of one variable")
    for name, function, at, expected in CURVES:
        found = slope(function, at)
        difference = central_difference(
            lambda w, f=function: f(w[0]), torch.tensor([at], dtype=torch.float64)
        ).item()
        print(f"  L = {name:<16} at w = {at:<4} dL/dw = {found:9.6f}   central difference {difference:9.6f}")
        assert abs(found - difference) < 1e-8
        assert expected is None or found == expected
        slopes.append(found)
    return slopes


def several_variables() -> None:
    """Differentiate functions of several variables: apart, together, and a squared norm."""
    w1 = torch.tensor(1.0, requires_grad=True)
    w2 = torch.tensor(2.0, requires_grad=True)
    (w1 + w2**2).backward()
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    (w[0] + w[1] ** 2).backward()
    print("\nL = w1 + w2^2 at (1, 2): one by one", w1.grad, w2.grad, " as a vector", w.grad)
    assert [w1.grad.item(), w2.grad.item()] == w.grad.tolist() == [1.0, 4.0]

    w = torch.tensor([0.1, 0.0] * 4, dtype=torch.float64, requires_grad=True)
    (torch.norm(w) ** 2).backward()
    numeric = central_difference(lambda w: torch.norm(w) ** 2, w.detach())
    print("L = |w|^2, gradient 2w:", w.grad)
    assert torch.allclose(w.grad, 2 * w.detach())
    assert torch.allclose(w.grad, numeric, atol=1e-8)


def vector_of_outputs() -> None:
    """Show that backward with ones adds the derivatives of the outputs, and how to get them apart."""
    z = torch.tensor(-1.0, requires_grad=True)
    a = torch.stack([2 * z, z**4])
    each = []
    for v in torch.eye(2):
        z.grad = None
        a.backward(v, retain_graph=True)
        each.append(z.grad.item())
    z.grad = None
    a.backward(torch.ones(2))
    print(f"\na = (2z, z^4) at z = -1: derivatives {each}, upstream of ones gives their sum {z.grad.item()}")
    assert each == [2.0, -4.0]
    assert z.grad.item() == sum(each)


def draw(report: Report, slopes: list[float]) -> None:
    """Draw each curve with its tangent."""
    plt = report.pyplot()
    if plt is None:
        return
    figure, axes = plt.subplots(1, len(CURVES), figsize=(12.0, 3.9))
    for ax, (name, function, at, _), gradient in zip(axes, CURVES, slopes, strict=True):
        w = torch.linspace(-2.2, 2.2, 300) if "exp" not in name else torch.linspace(-0.4, 3.0, 300)
        value = function(torch.tensor(at)).item()
        reach = np.array([-0.7, 0.7])
        ax.axhline(0.0, color=GREY, lw=0.8)
        ax.axvline(0.0, color=GREY, lw=0.8)
        ax.plot(array(w), array(function(w)), color=BLUE, label=f"$L = {tex(name)}$")
        ax.plot(at + reach, value + gradient * reach, color=ORANGE, label=f"tangent, slope {gradient:.2f}")
        ax.plot([at], [value], "o", color=ORANGE, ms=7)
        ax.set(xlabel="w", title=f"at w = {at}")
        ax.legend(fontsize=9.5, loc="best")
    axes[0].set_ylabel("L(w)")
    report.save(figure)


def tex(name: str) -> str:
    """Write a formula for matplotlib's mathematics."""
    return name.replace("exp(-w)", "e^{-w}").replace("sin", r"\,\sin").replace("*", "")


def main() -> None:
    """Run the three parts and draw."""
    report, _ = start("04_sensitivities", __doc__)
    slopes = scalar_curves()
    several_variables()
    vector_of_outputs()
    report.record(slopes={name: found for (name, *_), found in zip(CURVES, slopes, strict=True)})
    draw(report, slopes)
    report.finish()


if __name__ == "__main__":
    main()
