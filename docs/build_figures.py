"""Write the figures of the guides: drawings of small computations, and how their gradients flow.

`python docs/build_figures.py FOLDER` writes one SVG per figure. Read `FIGURES`: each entry makes a `Drawing`,
or draws into matplotlib's Axes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt

import pullback as torch
from pullback.explanations.drawing import Drawing, draw
from pullback.explanations.flow import Flow, flow
from pullback.graph.lines import record_lines


def affine_relu() -> Drawing:
    """Show y = relu(W x + b).sum(): one of three gates is closed."""
    W = torch.tensor([[0.5, -0.2], [-1.0, 0.3], [0.1, 0.8]], requires_grad=True)
    x = torch.tensor([1.0, 2.0])
    b = torch.tensor([0.1, 0.2, 0.3], requires_grad=True)
    z = W @ x + b
    y = torch.relu(z).sum()
    return draw(y)


def dead_layer() -> Drawing:
    """A network whose second layer is dead: no gradient reaches the first one."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(4, 6),
        torch.nn.ReLU(),
        torch.nn.Linear(6, 6),
        torch.nn.ReLU(),
        torch.nn.Linear(6, 2),
    )
    with torch.no_grad():
        net[2].bias.fill_(-10.0)
    x, target = torch.randn(8, 4), torch.zeros(8, 2)
    loss = torch.nn.functional.mse_loss(net(x), target)
    return draw(loss)


def cut_target() -> Drawing:
    """A bootstrapped target: detach keeps its path out of the gradient."""
    w = torch.tensor([0.5, -0.3, 0.8], requires_grad=True)
    with record_lines():
        h = torch.tanh(2 * w)
        target = 0.9 * h.detach() + 0.1
        loss = ((h - target) ** 2).mean()
    return draw(loss)


def deep_sigmoids() -> Flow:
    """Thirty sigmoid layers: each loses three quarters of the gradient or more."""
    torch.manual_seed(0)
    h = torch.randn(16, requires_grad=True)
    with record_lines():
        for _ in range(30):
            W = torch.randn(16, 16) / 4.0
            h = torch.sigmoid(W @ h)
    return flow(h.sum())


FIGURES: dict[str, Callable[[], Drawing | Flow]] = {
    "affine_relu": affine_relu,
    "dead_layer": dead_layer,
    "cut_target": cut_target,
    "deep_sigmoids": deep_sigmoids,
}


def write(name: str, folder: Path) -> Path:
    """Make one figure and save it as an SVG; returns its path."""
    made: Any = FIGURES[name]()
    path = folder / f"{name}.svg"
    if isinstance(made, Drawing):
        made.save(path)
    else:
        figure = made.plot().figure
        figure.savefig(path)
        plt.close(figure)
    return path


def main(folder: Path) -> None:
    """Write all figures."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FIGURES:
        write(name, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
