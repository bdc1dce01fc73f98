"""Two ways to differentiate an expectation: reparameterise, or score function."""

import math

import torch

torch.manual_seed(0)
mu = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
log_sigma = torch.tensor(math.log(0.5), dtype=torch.float64, requires_grad=True)
n = 4000
eps = torch.randn(n, dtype=torch.float64)
x = mu + log_sigma.exp() * eps
f = x**2
f.mean().backward()
print(f"pathwise  d/dmu {mu.grad.item():.4f} (exact 2)  d/dlog sigma {log_sigma.grad.item():.4f} (exact 0.5)")

x = x.detach()
sigma = log_sigma.exp()
log_p = -0.5 * ((x - mu) / sigma) ** 2 - torch.log(sigma) - 0.5 * math.log(2 * math.pi)
surrogate = (log_p * x**2).mean()
g = torch.autograd.grad(surrogate, (mu, log_sigma))
print(f"score     d/dmu {g[0].item():.4f}  d/dlog sigma {g[1].item():.4f}")

per_sample_path = 2 * (mu + sigma * eps).detach()
per_sample_score = ((x - mu) / sigma**2 * x**2).detach()
print(f"variance of the two: {per_sample_path.var().item():.3f} {per_sample_score.var().item():.3f}")

# a very small variational fit: q = N(m, s) to the posterior of a mean
data = 2.0 + torch.randn(20, dtype=torch.float64)
m = torch.zeros((), dtype=torch.float64, requires_grad=True)
rho = torch.zeros((), dtype=torch.float64, requires_grad=True)
optimizer = torch.optim.Adam([m, rho], lr=0.05)
for step in range(200):
    s = torch.nn.functional.softplus(rho)
    z = m + s * torch.randn(16, dtype=torch.float64)
    log_lik = (-0.5 * (data[:, None] - z) ** 2).sum(0)
    log_prior = -0.5 * z**2
    entropy = torch.log(s)
    loss = -(log_lik + log_prior).mean() - entropy
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        print(step, f"{loss.item():.3f}")
exact = data.sum() / 21
print(f"m {m.item():.3f} exact {exact.item():.3f}; s {torch.nn.functional.softplus(rho).item():.3f} exact {21**-0.5:.3f}")
