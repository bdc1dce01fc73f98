"""Derivative-based sensitivities of the Ishigami function, and an active subspace."""

import math

import torch


def ishigami(x, a=7.0, b=0.1):
    return torch.sin(x[:, 0]) + a * torch.sin(x[:, 1]) ** 2 + b * x[:, 2] ** 4 * torch.sin(x[:, 0])


torch.manual_seed(11)
x = (torch.rand(3000, 3, dtype=torch.float64) * 2 - 1) * math.pi
x.requires_grad_(True)
y = ishigami(x)
(g,) = torch.autograd.grad(y.sum(), x)
print(g.shape, f"mean {y.mean().item():.3f} variance {y.var().item():.3f}")
nu = (g**2).mean(dim=0)
for i, value in enumerate(nu):
    print(f"nu_{i + 1} = {value.item():8.3f}   mean |g| = {g[:, i].abs().mean().item():.3f}")
bound = nu * (2 * math.pi) ** 2 / (math.pi**2 * y.var().detach())
print([f"{b:.2f}" for b in bound.tolist()])
print(torch.argsort(nu, descending=True))

direction = torch.tensor([0.6, 0.8, 0.0], dtype=torch.float64)
x = torch.randn(500, 3, dtype=torch.float64, requires_grad=True)
y = torch.exp(0.5 * x @ direction)
(g,) = torch.autograd.grad(y.sum(), x)
C = g.T @ g / len(g)
eigenvalues, eigenvectors = torch.linalg.eigh(C)
print((eigenvalues > 1e-10).sum(), torch.allclose(eigenvectors[:, -1].abs(), direction))

quantiles = torch.quantile(y.detach(), torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64))
print([f"{q:.3f}" for q in quantiles.tolist()])
table = torch.stack([g.mean(0), g.std(0), g.abs().max(0).values])
for name, row in zip(("mean", "std", "max"), table):
    print(f"{name:5s}" + "".join(f"{v:10.4f}" for v in row.tolist()))
