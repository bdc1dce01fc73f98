"""Sweep the upstream vector of relu(W x) and average the gradients over random inputs.

`backward(v)` gives the vector-Jacobian product v^T J, so the upstream vector v chooses which outputs matter.
Here out = relu(W x) with x standard normal, row i of W is w_i e_i, and v = (0, 0, v2, 1 - v2). Row by row,

    d(v . out)/dx_i = v_i w_i   when x_i > 0, else 0

so its mean is v_i w_i / 2 and its standard deviation v_i w_i / 2: the unit is on half of the time.
The program draws, differentiates and averages as anybody would write it down, for 20 values of v2.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from reporting import BLUE, GREEN, GREY, ORANGE, Report, array, start

SLOPES = (1.0, 1.0, 2.0, 3.0)
# 40 means are compared with their expectations: P(any beyond 4.5 standard errors) is below 3e-4
SIGMAS = 4.5


def average_gradient(W: torch.Tensor, v: torch.Tensor, repeats: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean of v^T J over `repeats` draws of x, shape (6,), and its standard error."""
    total = torch.zeros(6)
    squares = torch.zeros(6)
    for _ in range(repeats):
        x = torch.randn(6, requires_grad=True)
        out = torch.relu(W @ x)
        out.backward(v)
        with torch.no_grad():
            total += x.grad
            squares += x.grad * x.grad
    mean = total / repeats
    variance = (squares / repeats - mean * mean).clamp(min=0.0) * repeats / (repeats - 1)
    return mean, (variance / repeats).sqrt()


def one_draw(W: torch.Tensor) -> None:
    """Show a single vector-Jacobian product, and that it is v^T J."""
    x = torch.tensor([0.5, -1.0, 2.0, 1.5, -0.3, 0.8], requires_grad=True)
    v = torch.tensor([0.0, 0.0, 0.3, 0.7])
    out = torch.relu(W @ x)
    out.backward(v)
    jacobian = torch.autograd.functional.jacobian(lambda x: torch.relu(W @ x), x)
    print("One draw")
    print("  x          ", x.detach())
    print("  relu(W x)  ", out.detach())
    print("  upstream v ", v)
    print("  x.grad     ", x.grad)
    print("  v @ J      ", v @ jacobian)
    assert torch.equal(x.grad, v @ jacobian)


def line_fit(x: np.ndarray, y: np.ndarray, error: np.ndarray) -> dict[str, float]:
    """Fit y = slope x + intercept, each point weighted by 1 / error^2; `r2` is the weighted R^2."""
    weight = 1.0 / error**2
    mean_x, mean_y = np.average(x, weights=weight), np.average(y, weights=weight)
    spread = np.sum(weight * (x - mean_x) ** 2)
    slope = np.sum(weight * (x - mean_x) * (y - mean_y)) / spread
    intercept = mean_y - slope * mean_x
    residual = np.sum(weight * (y - slope * x - intercept) ** 2)
    r2 = 1.0 - residual / np.sum(weight * (y - mean_y) ** 2)
    return {
        "slope": float(slope),
        "slope_error": float(1.0 / math.sqrt(spread)),
        "intercept": float(intercept),
        "r2": float(r2),
    }


def draw_means(report: Report, v2: np.ndarray, mean: np.ndarray, error: np.ndarray) -> None:
    """Draw the mean gradient against the upstream weight, with error bars."""
    plt = report.pyplot()
    if plt is None:
        return
    figure, ax = plt.subplots(figsize=(7.2, 4.8))
    rows = [
        (3, BLUE, "o", r"$x_3$  (row 3 of $W$: $3e_3$)"),
        (2, ORANGE, "s", r"$x_2$  (row 2 of $W$: $2e_2$)"),
    ]
    for index, colour, marker, label in rows:
        upstream = v2 if index == 2 else 1.0 - v2
        ax.plot(v2, 0.5 * SLOPES[index] * upstream, color=colour, lw=1.2, alpha=0.6)
        ax.errorbar(
            v2,
            mean[:, index],
            2 * error[:, index],
            fmt=marker,
            ms=5,
            color=colour,
            capsize=2.5,
            lw=1.2,
            label=label,
        )
    ax.plot(
        v2, mean[:, 0], "^", ms=5, color=GREEN, label=r"$x_0, x_1, x_4, x_5$: exactly zero", clip_on=False
    )
    ax.plot([], [], color=GREY, lw=1.2, label=r"closed form $w_i v_i / 2$;  bars: 2 standard errors")
    ax.set(xlim=(0.0, 0.51), ylim=(0.0, 1.62))
    ax.set_xlabel(r"upstream weight $v_2$")
    ax.set_ylabel(r"mean gradient $\partial (v \cdot \mathrm{out}) / \partial x_i$")
    ax.legend(loc="upper right", fontsize=9.5)
    top = ax.secondary_xaxis("top", functions=(lambda t: 1.0 - t, lambda t: 1.0 - t))
    top.set_xlabel(r"upstream weight $v_3 = 1 - v_2$")
    report.save(figure, "_means")


def draw_ratios(
    report: Report, x: np.ndarray, y: np.ndarray, error: np.ndarray, fit: dict[str, float]
) -> None:
    """Draw the gradient ratio against the weight ratio, the fitted line, and what the line leaves."""
    plt = report.pyplot()
    if plt is None:
        return
    figure, (ax, below) = plt.subplots(2, 1, figsize=(7.2, 6.0), sharex=True, height_ratios=(2.4, 1.0))
    label = (
        f"fit: slope {fit['slope']:.4f} $\\pm$ {fit['slope_error']:.4f}, "
        f"intercept {fit['intercept']:+.3f}\n$R^2$ = {fit['r2']:.5f}"
    )
    line = np.geomspace(x.min(), x.max(), 200)
    ax.errorbar(
        x,
        y,
        2 * error,
        fmt="o",
        ms=5,
        color=BLUE,
        capsize=2.5,
        lw=1.2,
        label="ratio of the two means (2 standard errors)",
    )
    ax.plot(line, fit["slope"] * line + fit["intercept"], color=ORANGE, label=label, zorder=1)
    ax.set(xscale="log", yscale="log")
    ax.set_xticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
    ax.set_yticks([1.5, 5, 15, 50, 150], ["1.5", "5", "15", "50", "150"])
    ax.minorticks_off()
    ax.set_ylabel(r"gradient ratio  $\bar g_3 / \bar g_2$")
    ax.legend(loc="upper left", fontsize=9.5)
    below.axhline(0.0, color=GREY, lw=1.0)
    below.errorbar(
        x, 100 * (y / (1.5 * x) - 1), 200 * error / y, fmt="o", ms=4, color=BLUE, capsize=2.5, lw=1.2
    )
    below.set_ylabel("off 3/2 by (%)")
    below.set_xlabel(r"upstream weight ratio  $v_3 / v_2$")
    report.save(figure, "_ratios")


def main() -> None:
    """Run the sweep, compare with the closed form, draw."""
    report, options = start("01_vjp_relu", __doc__, repeats=2000, seed=0)
    torch.manual_seed(options.seed)
    W = torch.zeros(4, 6)
    for row, slope in enumerate(SLOPES):
        W[row, row] = slope
    one_draw(W)

    v2 = np.linspace(0.01, 0.50, 20)
    means, errors = [], []
    worst = 0.0
    print(f"\nMean gradient over {options.repeats} draws (standard errors in brackets)")
    print("     v2      v3    d/dx2               d/dx3")
    for weight in v2:
        v = torch.tensor([0.0, 0.0, weight, 1.0 - weight])
        mean, error = average_gradient(W, v, options.repeats)
        g, se = array(mean), array(error)
        expected = (
            0.5 * np.array([0.0, 0.0, *SLOPES[2:], 0.0, 0.0]) * np.array([0, 0, weight, 1 - weight, 0, 0])
        )
        assert np.all(g[[0, 1, 4, 5]] == 0.0), "no weighted output depends on these inputs"
        worst = max(worst, float(np.max(np.abs(g[2:4] - expected[2:4]) / se[2:4])))
        print(f"  {weight:.4f}  {1 - weight:.4f}  {g[2]:.5f} ({se[2]:.5f})   {g[3]:.5f} ({se[3]:.5f})")
        means.append(g)
        errors.append(se)
    mean, error = np.array(means), np.array(errors)
    print(
        "\nClosed form (0, 0, v2, 3/2 v3, 0, 0): "
        f"the farthest of 40 means is {worst:.2f} standard errors away"
    )
    assert worst < SIGMAS, f"a mean is {worst:.2f} standard errors from its expectation"

    x, y = (1 - v2) / v2, mean[:, 3] / mean[:, 2]
    ratio_error = y * np.hypot(
        error[:, 2] / mean[:, 2], error[:, 3] / mean[:, 3]
    )  # the two gates are independent
    fit = line_fit(x, y, ratio_error)
    print(
        f"Gradient ratio against weight ratio: slope {fit['slope']:.4f} +- {fit['slope_error']:.4f}, "
        f"intercept {fit['intercept']:+.4f}, R^2 {fit['r2']:.5f}; the chain rule says 3/2 and 0"
    )
    assert abs(fit["slope"] - 1.5) < SIGMAS * fit["slope_error"]

    report.record(repeats=options.repeats, v2=v2, mean=mean, standard_error=error, worst_sigma=worst, fit=fit)
    draw_means(report, v2, mean, error)
    draw_ratios(report, x, y, ratio_error, fit)
    report.finish()


if __name__ == "__main__":
    main()
