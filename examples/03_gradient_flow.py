"""Follow gradients through simple functions: the chain rule by hand beside autograd.

Element-wise functions have diagonal Jacobians, sums have constant rows, an affine map has its matrix. Their
product, taken from the output side, is what autograd returns; the last part does it for softmax and mse:

    dL/da = 2 (a - t) / n,   da/dz = diag(a) - a a^T,   dz/dx = W,   dL/dW = (dL/dz) x^T
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from reporting import Report, array, matrix, start
from torch.autograd.functional import jacobian


def compare(name: str, manual: torch.Tensor, autograd: torch.Tensor) -> float:
    """Print autograd's answer and check the one by hand against it; return the largest difference."""
    assert manual.shape == autograd.shape
    assert torch.allclose(manual, autograd, rtol=1e-5, atol=1e-7), (name, manual, autograd)
    print(f"{name}, by hand the same:\n{autograd}")
    return (manual - autograd).abs().max().item()


def elementary() -> None:
    """Compare sum, mean, exp and log with their known Jacobians."""
    x = torch.tensor([1.0, 2.0, 3.0, 4.0])
    known = {
        "sum": (torch.sum, torch.ones(4)),
        "mean": (torch.mean, torch.full((4,), 0.25)),
        "exp": (torch.exp, torch.diag(torch.exp(x))),
        "log": (torch.log, torch.diag(1 / x)),
    }
    print("Elementary functions at x = (1, 2, 3, 4)")
    for name, (function, expected) in known.items():
        J = jacobian(function, x)
        compare(name, expected, J)
        leaf = x.clone().requires_grad_()
        out = function(leaf)
        v = torch.ones_like(out)
        out.backward(v)
        assert torch.allclose(leaf.grad, v @ J if J.dim() == 2 else v * J)


def affine() -> None:
    """Show the three Jacobians of W x + b, and that x and W meet the same upstream vector differently."""
    x = torch.tensor([1.0, 2.0, 3.0])
    W = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    b = torch.tensor([0.1, 0.2])
    by_x, by_W, by_b = jacobian(lambda x, W, b: W @ x + b, (x, W, b))
    print(
        "\nAffine map z = W x + b: shapes of dz/dx, dz/dW, dz/db:",
        *(tuple(J.shape) for J in (by_x, by_W, by_b)),
    )
    compare("dz/dx", W, by_x)
    compare("dz/dW", torch.einsum("ik,j->ikj", torch.eye(2), x), by_W)
    compare("dz/db", torch.eye(2), by_b)
    v = torch.tensor([1.0, -2.0])
    leaf = W.clone().requires_grad_()
    z = leaf @ x + b
    z.retain_grad()
    z.backward(v)
    print("upstream v stays at z: ", z.grad)
    compare("v x^T", torch.outer(v, x), leaf.grad)


def softmax_chain(report: Report) -> None:
    """Take L = mse(softmax(W x + b), t) apart by hand."""
    torch.manual_seed(0)
    x = torch.randn(5, requires_grad=True)
    W = (0.3 * torch.randn(3, 5)).requires_grad_()
    b = torch.randn(3, requires_grad=True)
    t = torch.tensor([0.0, 0.0, 1.0])
    z = W @ x + b
    a = F.softmax(z, dim=0)
    z.retain_grad()
    a.retain_grad()
    loss = F.mse_loss(a, t)
    loss.backward()

    with torch.no_grad():
        dL_da = 2 * (a - t) / a.numel()
        da_dz = torch.diag(a) - torch.outer(a, a)
        dL_dz = dL_da @ da_dz
        dL_dx = dL_dz @ W
        dL_dW = torch.outer(dL_dz, x)
    print(f"\nL = mse(softmax(W x + b), t) = {loss.item():.6f}")
    differences = {
        "dL/da": compare("dL/da", dL_da, a.grad),
        "dL/dz": compare("dL/dz", dL_dz, z.grad),
        "dL/dx": compare("dL/dx", dL_dx, x.grad),
        "dL/dW": compare("dL/dW", dL_dW, W.grad),
        "dL/db": compare("dL/db", dL_dz, b.grad),
        "da/dz": compare("da/dz", da_dz, jacobian(lambda z: F.softmax(z, dim=0), z.detach())),
    }
    print("da/dz has rows that sum to 0: softmax does not see a common shift of z")
    assert da_dz.sum(dim=1).abs().max().item() < 1e-6
    transposed = dL_dz @ W[:, :3].t()
    print(
        "the usual slip, W^T for W, on a square W:",
        transposed.detach(),
        "instead of",
        (dL_dz @ W[:, :3]).detach(),
    )
    assert not torch.allclose(transposed, dL_dz @ W[:, :3])
    report.record(loss=loss.item(), largest_difference=differences, dL_dx=x.grad, dL_dW=W.grad)
    draw(report, [array(m) for m in (dL_da, da_dz, W, x.grad)])


def draw(report: Report, factors: list) -> None:
    """Draw the chain dL/da, da/dz, dz/dx and their product as matrices."""
    plt = report.pyplot()
    if plt is None:
        return
    titles = ["dL/da", "da/dz", "dz/dx = W", "dL/dx"]
    figure, axes = plt.subplots(1, 4, figsize=(12.5, 3.1), width_ratios=(3, 3, 5, 5))
    for ax, title, factor in zip(axes, titles, factors, strict=True):
        matrix(ax, factor, title)
    for ax, sign in zip(axes, ("@", "@", "=", ""), strict=True):
        ax.text(1.06, 0.5, sign, transform=ax.transAxes, fontsize=18, ha="center", va="center")
    figure.suptitle(
        "The chain rule from the output side: a row of sensitivities times one Jacobian after another",
        fontsize=12,
    )
    report.save(figure)


def main() -> None:
    """Run the three parts."""
    report, _ = start("03_gradient_flow", __doc__)
    elementary()
    affine()
    softmax_chain(report)
    report.finish()


if __name__ == "__main__":
    main()
