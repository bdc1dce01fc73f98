"""Pathwise Greeks of a call option against Black and Scholes."""

import math

import torch


def normal_cdf(x):
    return 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def black_scholes(s, k, t, r, sigma):
    d1 = (torch.log(s / k) + (r + sigma**2 / 2) * t) / (sigma * torch.sqrt(t))
    d2 = d1 - sigma * torch.sqrt(t)
    return s * normal_cdf(d1) - k * torch.exp(-r * t) * normal_cdf(d2)


names = ["spot", "strike", "expiry", "rate", "vol"]
values = [100.0, 105.0, 1.0, 0.05, 0.2]
leaves = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values]
price = black_scholes(*leaves)
greeks = torch.autograd.grad(price, leaves, create_graph=True)
print(f"price {price.item():.6f}")
for name, greek in zip(names, greeks):
    print(f"  d price / d {name:6s} = {greek.item():+.6f}")
gamma = torch.autograd.grad(greeks[0], leaves[0], retain_graph=True)[0]
vanna = torch.autograd.grad(greeks[0], leaves[4])[0]
print(f"gamma {gamma.item():.6f} vanna {vanna.item():.6f}")

torch.manual_seed(2024)
s, k, t, r, sigma = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values]
z = torch.randn(20000, dtype=torch.float64)
final = s * torch.exp((r - sigma**2 / 2) * t + sigma * torch.sqrt(t) * z)
payoff = torch.exp(-r * t) * torch.relu(final - k)
estimate = payoff.mean()
estimate.backward()
error = payoff.std() / math.sqrt(len(z))
print(f"Monte Carlo price {estimate.item():.4f} +- {error.item():.4f}")
for name, leaf, greek in zip(names, (s, k, t, r, sigma), greeks):
    print(f"  {name:6s} {leaf.grad.item():+.4f} exact {greek.item():+.4f}")

# an Asian option, path by path
torch.manual_seed(7)
steps = 12
spot = torch.tensor(100.0, dtype=torch.float64, requires_grad=True)
vol = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
increments = (0.05 - vol**2 / 2) / steps + vol * math.sqrt(1 / steps) * torch.randn(5000, steps, dtype=torch.float64)
paths = spot * torch.exp(torch.cumsum(increments, dim=1))
asian = math.exp(-0.05) * torch.clamp(paths.mean(dim=1) - 100, min=0)
asian.mean().backward()
print(f"Asian {asian.mean().item():.4f} delta {spot.grad.item():.4f} vega {vol.grad.item():.4f}")
