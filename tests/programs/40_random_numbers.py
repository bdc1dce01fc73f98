"""Seeds, generators, and distributions drawn by hand."""

import math

import torch

torch.manual_seed(0)
print(torch.rand(3), torch.randn(3))
print(torch.randint(0, 10, (5,)), torch.randperm(6))
torch.manual_seed(0)
print(torch.rand(3))
g = torch.Generator().manual_seed(42)
print(torch.randn(2, 2, generator=g), torch.rand(1, generator=g, dtype=torch.float64))
print(torch.bernoulli(torch.full((6,), 0.5), generator=g), torch.multinomial(torch.tensor([1.0, 2.0, 3.0]), 4, True, generator=g))
state = torch.get_rng_state()
a = torch.rand(2)
torch.set_rng_state(state)
print(torch.equal(a, torch.rand(2)), torch.initial_seed())
print(torch.empty(3).uniform_(-1, 1), torch.empty(3).normal_(5, 0.1), torch.empty(2).exponential_())
print(torch.normal(0.0, torch.tensor([1.0, 2.0])), torch.normal(1.0, 0.5, size=(2,)), torch.randn_like(torch.zeros(2)))

torch.manual_seed(123)
n = 10000
u = torch.rand(n, dtype=torch.float64)
exponential = -torch.log1p(-u) / 2
print(f"exponential {exponential.mean():.3f} {exponential.var():.3f}")
u1, u2 = torch.rand(n, dtype=torch.float64), torch.rand(n, dtype=torch.float64)
normal = torch.sqrt(-2 * torch.log(1 - u1)) * torch.cos(2 * math.pi * u2)
print(f"Box-Muller  {normal.mean():.3f} {normal.std():.3f} {(normal.abs() < 1.96).double().mean():.3f}")
L = torch.linalg.cholesky(torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=torch.float64))
pairs = torch.randn(n, 2, dtype=torch.float64) @ L.T
print(torch.corrcoef(pairs.T).round(decimals=3))
print(torch.histc(normal, bins=4, min=-2, max=2).long(), torch.bincount(torch.randint(0, 3, (n,))).sum())
walk = torch.cumsum(torch.randn(5), 0)
print(walk.shape, torch.quantile(normal, 0.5).abs() < 0.05, torch.median(normal).abs() < 0.05)
inside = (torch.rand(n, 2) ** 2).sum(1) <= 1
print(f"pi is about {4 * inside.float().mean():.3f}")
mask = torch.rand(4, 4) < 0.25
print(mask.dtype, mask.sum() <= 16, torch.nn.functional.dropout(torch.ones(8), 0.5))
