"""Eleven zeros in one gradient, each for another reason, and what pullback's `explain` says of them.

Every entry of x has a way of its own to the output: off, not the winner, times zero, cut, rounded, at a
minimum, and so on. Autograd's answer for all of them is the same number. The figure draws f along each entry
with autograd's slope: sometimes the function is flat there, sometimes it is not and the zero is a lie.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from reporting import BLUE, GREY, ORANGE, Report, array, start

import pullback

BELOW = torch.tensor(0.9, dtype=torch.float64)
POINT = torch.tensor(
    [0.7, -0.8, 0.2, 1.0, 0.6, 0.8, 0.4, 0.5, -1.0, 0.4, 1.0, 0.1], dtype=torch.float64, requires_grad=True
)
# what each entry is expected to be, its formula for the reader, and where the others get their gradient from
EXPECTED = (
    ("Flows", "sin x", "-"),
    ("GateClosed", "relu(x)", "a positive input"),
    ("Unselected", "max(x, 0.9)", "an input above 0.9"),
    ("Annihilated", "0 x", "another weight"),
    ("ZeroUpstream", "x^2, weighed by 0", "a weight in v"),
    ("Stopped", "x.detach()^2", "no detach()"),
    ("Discrete", "round(2 x)", "a smooth function, or a surrogate"),
    ("Stationary", "(x - 0.5)^2", "nothing is wrong"),
    ("Saturated", "sigmoid(800 x)", "an input nearer to 0"),
    ("Cancelled", "sin^2 x + cos^2 x", "nothing is wrong"),
    ("Underflow", "1e-200 (1e-200 x)", "logarithms, or another unit"),
    ("NoPath", "not used", "use it"),
)


def parts(x: torch.Tensor) -> torch.Tensor:
    """Return the 11 parts that x, shape (12,), is used in."""
    return torch.stack(
        [
            torch.sin(x[0]),
            torch.relu(x[1]),
            torch.maximum(x[2], BELOW),
            0.0 * x[3],
            x[4] ** 2,
            x[5].detach() ** 2,
            torch.round(2 * x[6]),
            (x[7] - 0.5) ** 2,
            torch.sigmoid(800 * x[8]),
            torch.sin(x[9]) ** 2 + torch.cos(x[9]) ** 2,
            1e-200 * (1e-200 * x[10]),
        ]
    )


def upstream() -> torch.Tensor:
    """Return v, shape (11,): all parts count once, except one."""
    v = torch.ones(11, dtype=torch.float64)
    v[4] = 0.0
    return v


def value(x: torch.Tensor) -> float:
    """Return v . parts(x)."""
    with torch.no_grad():
        return float(upstream() @ parts(x))


def along(k: int, steps: Any) -> Any:
    """Return v . parts for x moved along entry k, by each of `steps`."""
    found = []
    for step in steps:
        moved = POINT.detach().clone()
        moved[k] += step
        found.append(value(moved))
    return np.array(found)


def draw(report: Report, gradient: Any) -> None:
    """Draw f along each entry, with autograd's tangent."""
    plt = report.pyplot()
    if plt is None:
        return
    figure, axes = plt.subplots(3, 4, figsize=(13.0, 8.4))
    steps = np.linspace(-1.5, 1.5, 401)
    for k, (ax, (kind, formula, _)) in enumerate(zip(axes.flat, EXPECTED, strict=True)):
        at = POINT[k].item()
        here = value(POINT)
        values = along(k, steps) - here
        if kind == "Discrete":  # a jump is no line: break the curve there
            values[1:][np.abs(np.diff(values)) > 0.5] = np.nan
        ax.plot(at + steps, values, color=GREY, lw=2.4)
        near = steps[np.abs(steps) <= 0.75]
        ax.plot(at + near, gradient[k] * near, color=ORANGE, lw=1.8, ls="--")
        ax.plot([at], [0.0], "o", color=BLUE, ms=7)
        ax.set_title(kind, fontsize=12)
        ax.set_xlabel(f"$x_{{{k}}}$      {formula}", fontsize=10)
        ax.set_ylim(-2.2, 2.2)
    figure.suptitle(
        "f along each entry (grey), the point (blue), and autograd's slope there (orange)", fontsize=13
    )
    report.save(figure)


def revived(x: torch.Tensor) -> Any:
    """Return the gradient after two of the causes are taken away: the gate at 1 and the upstream at 4."""
    moved = x.detach().clone()
    moved[1] = 0.8
    moved.requires_grad_(True)
    v = upstream()
    v[4] = 1.0
    parts(moved).backward(v)
    return array(moved.grad)


def main() -> None:
    """Explain every entry, check the causes, compare with finite differences."""
    report, _ = start("09_why_is_it_zero", __doc__)
    with pullback.record_lines():
        parts(POINT).backward(upstream())
    told = pullback.explain(POINT)
    print(told, "\n")
    gradient = array(POINT.grad)
    h = 0.05
    slopes = [float((along(k, [h]) - along(k, [-h]))[0] / (2 * h)) for k in range(12)]
    print(f"{'entry':>5}  {'formula':<19}{'gradient':>9}{'slope':>8}  {'cause':<14}what would change it")
    for k, (kind, formula, cure) in enumerate(EXPECTED):
        found = str(told.causes[k])
        print(f"{k:>5}  {formula:<19}{gradient[k]:>9.4f}{slopes[k]:>8.4f}  {found:<14}{cure}")
        assert found == kind, f"{k}: {found}"
        assert (gradient[k] == 0) == (kind != "Flows")
    print("(slope: of the function itself, over +-0.05)")
    alive = revived(POINT)
    print("\nWith x[1] = 0.8 and the upstream's entry 4 at 1, those two come to life:", alive[[1, 4]])
    assert [k for k in range(12) if alive[k] != 0] == [0, 1, 4]
    report.record(gradient=gradient, slopes=slopes, causes=told.causes)
    draw(report, gradient)
    report.finish()


if __name__ == "__main__":
    main()
