"""Functions of one sample that several tests average; at module level, so that other processes find them."""

import math

import pullback as torch

W = torch.tensor(
    [
        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 2.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 3.0, 0.0, 0.0],
    ]
)


def workshop(x):
    return torch.relu(W.to(x.dtype) @ x)


def ishigami(x):
    return torch.sin(x[0]) + 7.0 * torch.sin(x[1]) ** 2 + 0.1 * x[2] ** 4 * torch.sin(x[0])


def call_option(z, spot, sigma, rate):
    """The discounted payoff of a European call: strike 105, one year and a half."""
    t = 1.5
    end = spot * torch.exp((rate - 0.5 * sigma**2) * t + sigma * math.sqrt(t) * z)
    return torch.exp(-rate * t) * torch.relu(end - 105.0)


def geometric_asian(z, spot, sigma, rate):
    """The discounted payoff of a call on the geometric mean of the path; strike 100, one year."""
    n = z.shape[0]
    steps = (rate - 0.5 * sigma**2) / n + sigma * math.sqrt(1.0 / n) * z
    mean = torch.exp(torch.log(spot) + torch.cumsum(steps, 0).mean())
    return torch.exp(-rate) * torch.relu(mean - 100.0)


def digital(x):
    return torch.where(x > 0.5, 1.0, 0.0).sum()


def rooted(x):
    """NaN for negative x; `+ 0` so that the op that fails is not the first."""
    return torch.sqrt(x + 0.0).sum()


def mixed(x, y):
    """A matrix product, so that neighbours could matter to rounding, and a nonlinearity."""
    return torch.tanh(W.to(x.dtype) @ x).sum() * torch.exp(y)
