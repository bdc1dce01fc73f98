"""What explanations cost, as ratios in one process: to the backward they explain, to the loop without lines.

    python benchmarks/explain.py [--repeat N] [--only NAME ...]

Every repeat runs both sides in turn; the table shows medians of N. Read `ROWS` first: each row is a function
that prepares its work and returns the two sides and the ratio to stay below. `explain` alone answers from two
sweeps; "with rows" also groups and words every entry, which is what printing it does.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import pullback as torch

Side = Callable[[], Any]
Work = tuple[Side, Side, float]


def chain() -> Work:
    """A scalar chain of 10,000 ops, all links alive."""
    x = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    y = x
    for _ in range(2500):
        y = torch.tanh(torch.sin(y) * 1.01 + x)
    return lambda: y.backward(retain_graph=True), lambda: torch.explain(y, x), 6.0


def chain_rows() -> Work:
    """The same, grouped and worded."""
    back, explain, limit = chain()
    return back, lambda: explain().rows, limit


def dead_chain() -> Work:
    """The same with a closed gate in its middle: the one dead link has to be found."""
    x = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    y = x
    for i in range(2500):
        y = torch.tanh(torch.sin(y) * 1.01)
        y = torch.relu(y - 2.0) if i == 1250 else y + 0.1
    return lambda: y.backward(retain_graph=True), lambda: torch.explain(y, x).rows, 6.0


def _network(bias: float) -> tuple[Any, list[Any]]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(784, 256), torch.nn.ReLU(), torch.nn.Linear(256, 256), torch.nn.ReLU(),
        torch.nn.Linear(256, 10),
    )  # fmt: skip
    with torch.no_grad():
        model[2].bias[:40] = bias
    x, t = torch.randn(256, 784), torch.randint(0, 10, (256,))
    return torch.nn.functional.cross_entropy(model(x), t), list(model.parameters())


def network() -> Work:
    """A 784-256-256-10 network on 256 inputs: the gradients of all parameters."""
    loss, parameters = _network(0.0)
    return lambda: loss.backward(retain_graph=True), lambda: torch.explain(loss, parameters), 6.0


def network_rows() -> Work:
    """The same, grouped and worded."""
    back, explain, limit = network()
    return back, lambda: [e.rows for e in explain()], limit


def dead_units() -> Work:
    """The same with 40 dead units in the second layer: 10,000 weights without a gradient."""
    loss, parameters = _network(-100.0)
    return (
        lambda: loss.backward(retain_graph=True),
        lambda: [e.rows for e in torch.explain(loss, parameters)],
        6.0,
    )


def loop_lines() -> Work:
    """The eager loop of scalars, 10,000 ops forward and backward, without and with recorded lines."""

    def run() -> None:
        x = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
        y = x
        for _ in range(2500):
            y = torch.tanh(torch.sin(y) * 1.01 + x)
        y.backward()

    return run, torch.record_lines()(run), 2.0


def vector_lines() -> Work:
    """relu(W x), backward(v), 500 times, without and with recorded lines."""
    w = torch.randn(2, 2, requires_grad=True)
    v = torch.tensor([1.0, 2.0])

    def run() -> None:
        for _ in range(500):
            y = torch.relu(w @ torch.randn(2))
            y.backward(v)
            w.grad = None

    return run, torch.record_lines()(run), 2.0


def network_lines() -> Work:
    """A training step of the network without and with recorded lines."""

    def run() -> None:
        _network(0.0)[0].backward()

    return run, torch.record_lines()(run), 2.0


ROWS: dict[str, Callable[[], Work]] = {
    "chain": chain, "chain rows": chain_rows, "dead chain": dead_chain, "network": network,
    "network rows": network_rows, "dead units": dead_units, "lines: scalars": loop_lines,
    "lines: vectors": vector_lines, "lines: network": network_lines,
}  # fmt: skip


def seconds(side: Side) -> float:
    """One run."""
    start = time.perf_counter()
    side()
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--only", nargs="*", default=list(ROWS), choices=list(ROWS))
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, medians of {given.repeat}; ratio = second / first")
    print(f"{'row':<16}{'first ms':>10}{'second ms':>11}{'ratio':>8}{'limit':>7}")
    for name in given.only:
        first, second, limit = ROWS[name]()
        seconds(first), seconds(second)
        pairs = [(seconds(first), seconds(second)) for _ in range(given.repeat)]
        a, b = (statistics.median(p[k] for p in pairs) for k in (0, 1))
        print(f"{name:<16}{1000 * a:>10.2f}{1000 * b:>11.2f}{b / a:>8.2f}{limit:>7.0f}")


if __name__ == "__main__":
    main()
