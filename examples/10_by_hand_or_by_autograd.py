"""Gradients derived by hand beside autograd's: what is wrong with the one that differs?

z = W x + b, a = softmax(z), L = mse(a, truth). The chain rule by hand gives dL/db right, dL/dW with one axis
too many, and dL/dx wrong; staring at it does not say why. `diagnose` tries what people get wrong on every
rule between L and the leaf, and names the slips that reproduce the hand-made numbers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from reporting import start

import pullback


class Layer:
    """One layer and its loss, computed with lines recorded."""

    def __init__(self, x: list[float], W: list[list[float]], b: list[float], truth: list[float]) -> None:
        self.x = torch.tensor(x, requires_grad=True)
        self.W = torch.tensor(W, requires_grad=True)
        self.b = torch.tensor(b, requires_grad=True)
        self.truth = torch.tensor(truth)
        with pullback.record_lines():
            z = self.W @ self.x + self.b
            a = F.softmax(z, dim=0)
            self.L = F.mse_loss(a, self.truth)
        self.a = a.detach()

    @property
    def jacobian(self) -> torch.Tensor:
        """da/dz = diag(a) - a a^T."""
        return torch.diag(self.a) - torch.outer(self.a, self.a)


def by_hand(net: Layer) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return the first attempt: name -> (the hand-made gradient, its leaf)."""
    x, W = net.x.detach(), net.W.detach()
    dL_da = 2 * (net.a - net.truth) / len(net.a)
    dL_dz = dL_da @ net.jacobian
    dz_dW = x.unsqueeze(0)
    return {
        "dL/dW": (dL_dz.unsqueeze(1) @ dz_dW.unsqueeze(0), net.W),
        "dL/db": (dL_dz, net.b),
        "dL/dx": (dL_dz @ W.T, net.x),
    }


def slips(net: Layer) -> dict[str, torch.Tensor]:
    """Return further answers for dL/db, each with the slip that its name says."""
    a, truth, n = net.a, net.truth, len(net.a)
    dL_da = 2 * (a - truth) / n
    return {
        "the 1/n of the mean is forgotten": 2 * (a - truth) @ net.jacobian,
        "the 2 of the square is forgotten": (a - truth) / n @ net.jacobian,
        "softmax is taken for one sigmoid per entry": dL_da * a * (1 - a),
        "the difference is the wrong way round": 2 * (truth - a) / n @ net.jacobian,
    }


def main() -> None:
    """Diagnose the first attempt, then the other slips."""
    report, _ = start("10_by_hand_or_by_autograd", __doc__)
    two = Layer([1.0, 2.0], [[0.5, -0.5], [0.3, 0.8]], [0.1, 0.2], [0.0, 1.0])
    kinds: dict[str, str] = {}
    for name, (candidate, leaf) in by_hand(two).items():
        found = pullback.diagnose(candidate, two.L, leaf)
        kinds[name] = found.verdict.kind
        print(f"{name}: {found}\n")
    assert list(kinds.values()) == ["shape slip", "float noise", "rule misapplied"]
    print("So z = W x has dz/dx = W, and dL/dx = dL/dz @ W.\n")

    # with two classes some of these slips give the same numbers; with three they do not
    three = Layer([1.0, 2.0], [[0.5, -0.5], [0.3, 0.8], [-0.2, 0.1]], [0.1, 0.2, 0.0], [0.0, 1.0, 0.0])
    for name, candidate in slips(three).items():
        found = pullback.diagnose(candidate, three.L, three.b)
        kinds[name] = found.verdict.kind
        print(f"dL/db, {name}: {found}\n")
        assert not found
        assert found.mutations
    report.record(kinds=kinds)
    report.finish()


if __name__ == "__main__":
    main()
