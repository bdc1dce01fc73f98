"""Walk downhill with a fixed step until the gradient is small, and see how number formats end the walk.

L(w) = (w0 - 2)^2 + (w1 + 3)^2 from the origin: each step multiplies the distance to the minimum by
1 - 2 lr = 0.98, so the gradient after k steps has the norm 2 sqrt(13) 0.98^k, and the rule |grad| <= 1e-6 is
met at the 783rd. In float32 it never is: once lr * gradient is below half a unit in the last place of w, it
stands.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from reporting import BLUE, GREY, ORANGE, Report, array, start

MINIMUM = (2.0, -3.0)
RATE, TOLERANCE = 0.01, 1e-6


def loss(w: torch.Tensor) -> torch.Tensor:
    """Return (w0 - 2)^2 + (w1 + 3)^2."""
    return (w[0] - MINIMUM[0]) ** 2 + (w[1] - MINIMUM[1]) ** 2


def descend(dtype: torch.dtype, most: int) -> tuple[torch.Tensor, list[list[float]], list[float]]:
    """Walk until the rule is met or `most` steps are done; return w, the points, the norms."""
    w = torch.zeros(2, dtype=dtype, requires_grad=True)
    path, norms = [w.tolist()], [math.inf]
    while len(norms) <= most and norms[-1] > TOLERANCE:
        if w.grad is not None:
            w.grad.zero_()
        loss(w).backward()
        with torch.no_grad():
            w -= RATE * w.grad
        norms.append(w.grad.norm().item())
        path.append(w.tolist())
    return w.detach(), path, norms[1:]


def draw(report: Report, path: np.ndarray, norms: dict[str, list[float]]) -> None:
    """Draw the path over the contours of the loss, and the norms of the gradients."""
    plt = report.pyplot()
    if plt is None:
        return
    figure, (ax, right) = plt.subplots(1, 2, figsize=(11.0, 4.8))
    x, y = np.meshgrid(np.linspace(-1.2, 4.2, 200), np.linspace(-4.6, 1.6, 200))
    z = (x - MINIMUM[0]) ** 2 + (y - MINIMUM[1]) ** 2
    levels = np.arange(1, 7) ** 2 / 2.0
    lines = ax.contour(x, y, z, levels=levels, cmap="Blues_r", linewidths=1.0)
    radius = np.sqrt(levels)[:5]  # a label per circle, on the side where the path is not
    places = list(zip(MINIMUM[0] + 0.5 * radius, MINIMUM[1] + 0.87 * radius, strict=True))
    ax.clabel(lines, levels[:5], fontsize=8.5, fmt="%g", manual=places)
    ax.plot(path[:, 0], path[:, 1], color=ORANGE, lw=1.5)
    marks = path[[0, 10, 20, 40, 80, 160]]
    ax.plot(marks[:, 0], marks[:, 1], "o", color=ORANGE, ms=5, label="after 0, 10, 20, 40, 80, 160 steps")
    ax.plot(*MINIMUM, "*", color=BLUE, ms=14, label="minimum (2, -3)")
    ax.set(xlabel="$w_0$", ylabel="$w_1$", title="The path", aspect="equal")
    ax.legend(loc="upper right", fontsize=9.5, frameon=True, framealpha=0.9, edgecolor="none")
    for (name, values), colour, style in zip(norms.items(), (ORANGE, BLUE), ("-", "--"), strict=True):
        right.semilogy(np.arange(1, len(values) + 1), values, style, color=colour, label=name)
    right.axhline(TOLERANCE, color=GREY, lw=1.2, ls=":", label="stopping rule 1e-6")
    right.set(
        xlabel="step", ylabel="norm of the gradient", title="float32 comes to a stand before the rule is met"
    )
    right.legend(fontsize=9.5)
    report.save(figure)


def main() -> None:
    """Walk in both precisions, compare with the closed form, draw."""
    report, options = start("06_gradient_descent", __doc__, steps=1000)
    norms, walked, path = {}, {}, []
    for name, dtype in (("float32", torch.float32), ("float64", torch.float64)):
        w, path, norms[name] = descend(dtype, options.steps)
        met = norms[name][-1] <= TOLERANCE
        walked[name] = {"steps": len(norms[name]), "met": met, "w": w, "norm": norms[name][-1]}
        print(f"{name}: {len(norms[name])} steps, rule met: {met}, |grad| = {norms[name][-1]:.4e}, w = {w}")
        assert torch.allclose(w, torch.tensor(MINIMUM, dtype=dtype), atol=1e-5)

    closed = 1 + math.ceil(math.log(TOLERANCE / (2 * math.sqrt(13))) / math.log(1 - 2 * RATE))
    print(f"closed form: the rule is met at gradient {closed}")
    assert walked["float64"]["steps"] == closed
    assert not walked["float32"]["met"]
    stuck = walked["float32"]["w"]
    half_ulp = float(np.spacing(np.float32(array(stuck)[0]))) / 2
    pull = RATE * 2 * abs(array(stuck)[0] - MINIMUM[0])
    print(
        f"float32 stands still: the next step of w0 would be {pull:.1e}, "
        f"half a unit in its last place is {half_ulp:.1e}"
    )
    assert pull <= half_ulp
    decay = np.array(norms["float64"][:400])
    assert np.allclose(decay, 2 * math.sqrt(13) * 0.98 ** np.arange(400), rtol=1e-9)

    report.record(**walked, closed_form_steps=closed)
    draw(report, np.array(path), norms)
    report.finish()


if __name__ == "__main__":
    main()
