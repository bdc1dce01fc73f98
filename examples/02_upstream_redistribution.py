"""Move upstream weight between outputs and watch where the gradient goes.

inp = eye(4, 5), out = ((inp + 10)^3) transposed: output (j, i) depends on input (i, j) alone, so

    inp.grad = v^T * 3 (inp + 10)^2

with 3 * 11^2 = 363 on the diagonal and 3 * 10^2 = 300 elsewhere. When the entries of v sum to 1, those of
inp.grad sum to 300 + 63 * (share of v on the diagonal): the weights move sensitivity, they hardly create any.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from reporting import BLUE, GREY, Report, array, matrix, start

SHARES = (0.2, 0.4, 0.7, 1.0)


def upstream(share: float) -> torch.Tensor:
    """Return v, shape (5, 4), with sum 1: `share` on row 0, the rest even."""
    v = torch.full((5, 4), (1.0 - share) / 16)
    v[0] = share / 4
    return v


def closed_form(share: Any) -> Any:
    """Return the sum of inp.grad: 1 of 4 entries of row 0, 3 of the other 16, are on the diagonal."""
    return 300 + 63 * (share / 4 + 3 * (1 - share) / 16)


def gradient(v: torch.Tensor) -> torch.Tensor:
    """Return inp.grad, shape (4, 5), for the upstream v, shape (5, 4)."""
    inp = torch.eye(4, 5, requires_grad=True)
    out = (inp + 10).pow(3).t()
    out.backward(v)
    return inp.grad


def accumulation() -> None:
    """Show that backward adds to .grad, and that zeroing starts again."""
    inp = torch.eye(4, 5, requires_grad=True)
    out = (inp + 10).pow(3).t()
    v = torch.ones_like(out)
    out.backward(v, retain_graph=True)
    first = inp.grad.clone()
    out.backward(v, retain_graph=True)
    twice = inp.grad.clone()
    inp.grad.zero_()
    out.backward(v)
    print("upstream of ones, called once\n", first)
    print("called again without zeroing: twice as much?", torch.equal(twice, 2 * first))
    print("zeroed, called again: the first result?     ", torch.equal(inp.grad, first))
    assert torch.equal(twice, 2 * first)
    assert torch.equal(inp.grad, first)


def draw(report: Report, gradients: list[np.ndarray]) -> None:
    """Draw inp.grad for each share, and the sum of its entries against the share."""
    plt = report.pyplot()
    if plt is None:
        return
    figure = plt.figure(figsize=(11.5, 5.4))
    grid = figure.add_gridspec(2, len(SHARES), height_ratios=(1.0, 1.1))
    limit = max(g.max() for g in gradients)
    for column, (share, g) in enumerate(zip(SHARES, gradients, strict=True)):
        ax = figure.add_subplot(grid[0, column])
        matrix(ax, g, f"{share:.0%} on the first row", limit=limit, digits=1)
        ax.set_xlabel(f"sum of inp.grad: {g.sum():.2f}", fontsize=10)
    ax = figure.add_subplot(grid[1, :])
    share = np.linspace(0.0, 1.0, 50)
    ax.fill_between(
        share, 300, 363, color=GREY, alpha=0.12, lw=0, label="possible for any v >= 0 that sums to 1"
    )
    ax.plot(share, closed_form(share), color=BLUE, label="closed form")
    ax.plot(SHARES, [g.sum() for g in gradients], "o", color=BLUE, ms=6, label="sum of inp.grad")
    ax.set(xlim=(0, 1.02), ylim=(290, 373), title="Moving the weight hardly changes the total")
    ax.set_xlabel("share of the upstream weight on the first row of out")
    ax.set_ylabel("sum of inp.grad")
    ax.legend(loc="upper left", fontsize=9.5, ncols=3)
    report.save(figure)


def main() -> None:
    """Sweep the share, compare with the closed form, draw."""
    report, _ = start("02_upstream_redistribution", __doc__)
    accumulation()
    gradients = []
    print(
        "\nshare on the first row   its sensitivities (diagonal, others)   elsewhere (diagonal, others)   sum"
    )
    for share in SHARES:
        v = upstream(share)
        g = gradient(v)
        expected = v.t() * 3 * (torch.eye(4, 5) + 10) ** 2
        assert torch.allclose(g, expected)
        total = g.sum().item()
        assert abs(total - closed_form(share)) < 1e-3, "float32 sum of 20 entries near 100"
        a = array(g)
        print(
            f"  {share:4.0%}                   {a[0, 0]:8.3f} {a[1, 0]:8.3f}                   "
            f"{a[1, 1]:8.3f} {a[0, 1]:8.3f}             {total:.3f}"
        )
        gradients.append(a)
    print("The sum is 300 + 63 (share on the diagonal), whatever the rest of v does.")
    report.record(shares=SHARES, gradients=gradients, sums=[g.sum() for g in gradients])
    draw(report, gradients)
    report.finish()


if __name__ == "__main__":
    main()
