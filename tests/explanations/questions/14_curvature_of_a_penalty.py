"""Gradient penalty on a linear critic."""
# ask: error
# says: does not require grad
# error: RuntimeError

import torch

critic = torch.tensor([1.0, -2.0])
sample = torch.tensor([0.3, 0.4], requires_grad=True)
score = (critic * sample).sum()
(g,) = torch.autograd.grad(score, sample, create_graph=True)
penalty = (g.norm() - 1.0) ** 2
penalty.backward()
print(sample.grad)
