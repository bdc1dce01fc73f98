"""Pathwise gradients need the draw to be a function of the parameters; torch.normal is none."""
# ask: explain(mu)

import torch

torch.manual_seed(6)
mu = torch.tensor([1.0, 2.0], requires_grad=True)
draw = torch.normal(mu, 0.5)  # cause: Discrete normal_mean
(draw**2).sum().backward()
print(mu.grad)
