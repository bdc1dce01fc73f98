"""The works of sampling_works.py for PyTorch: vectorised, torch.func, an eager loop for the descent."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sampling_works import (
    LONGEST,
    RATE,
    SEED,
    STRIKE,
    TOLERANCE,
    Contender,
    Run,
    Size,
    normals,
    times,
    trades,
    upstream,
)
from works import weights


def sweep(size: Size) -> Run:
    """vmap over the draws of one vjp; one upstream vector at a time."""
    W, vectors = torch.tensor(weights()), torch.tensor(upstream())

    def pull(x: Any, v: Any) -> Any:
        return torch.func.vjp(lambda x: torch.relu(W @ x), x)[1](v)[0]

    batched = torch.func.vmap(pull, in_dims=(0, None))

    def run() -> np.ndarray:
        torch.manual_seed(SEED)
        return np.stack([batched(torch.randn(size[0], 6), v).mean(0).numpy() for v in vectors])

    return run


def cumulated(size: Size, *, gradients: bool) -> Run:
    """Paths of one trade at a time by cumsum; the mean price of a trade, then backward."""
    count, paths, steps = size
    t, parameters = torch.tensor(times(steps)), torch.tensor(trades(count))
    z = torch.tensor(normals(paths, steps))

    def price(p: Any, brownian: Any) -> Any:
        spot, rate, volatility = p
        path = spot * torch.exp((rate - volatility**2 / 2) * t + volatility * brownian)
        return torch.exp(-rate) * torch.relu(path.mean(1) - STRIKE).mean()

    def run() -> np.ndarray:
        rows, brownian = [], torch.cumsum(z, 1) / steps**0.5
        for p in parameters:
            leaf = p.clone().requires_grad_(gradients)
            value = price(leaf, brownian)
            if gradients:
                value.backward()
            rows.append([value.item(), *(leaf.grad.tolist() if gradients else ())])
        return np.array(rows)

    return run


def stepped(size: Size) -> Run:
    """All trades at once, one step of all paths after the other."""
    count, paths, steps = size
    z = torch.tensor(normals(paths, steps)).T.contiguous()

    def run() -> np.ndarray:
        leaf = torch.tensor(trades(count), requires_grad=True)
        spot, rate, volatility = (column[:, None] for column in leaf.unbind(1))
        drift, scale = (rate - volatility**2 / 2) / steps, volatility / steps**0.5
        path, total = spot, torch.zeros(())
        for row in z:
            path = path * torch.exp(drift + scale * row)
            total = total + path
        value = torch.exp(-rate[:, 0]) * torch.relu(total / steps - STRIKE).mean(1)
        value.sum().backward()
        return np.column_stack([value.detach().numpy(), leaf.grad.numpy()])

    return run


def asian(size: Size) -> Run:
    """Prices and gradients by cumsum."""
    return cumulated(size, gradients=True)


def price_only(size: Size) -> Run:
    """Prices by cumsum."""
    return cumulated(size, gradients=False)


def descent(_: Size) -> Run:
    """The loop of every tutorial."""

    def run() -> np.ndarray:
        w = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        norm, k = float("inf"), 0
        while k < LONGEST and norm > TOLERANCE:
            if w.grad is not None:
                w.grad.zero_()
            loss = (w[0] - 2) ** 2 + (w[1] + 3) ** 2
            loss.backward()
            with torch.no_grad():
                w -= RATE * w.grad
            norm = w.grad.norm().item()
            k += 1
        return np.array([*w.tolist(), k])

    return run


WORKS = {
    "sweep": {"torch.func.vmap": Contender(sweep)},
    "asian": {
        "torch cumsum": Contender(asian),
        "torch steps": Contender(stepped),
        "torch cumsum, price only": Contender(price_only, "part"),
    },
    "descent": {"torch loop": Contender(descent)},
}
