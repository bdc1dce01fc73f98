"""A parameter that was moved to double precision is not the one that has the gradient."""
# ask: explain(bias)
# says: .grad is None: it is no leaf
# says: retain_grad()
# ask: explain(start)
# says: Flows

import torch

start = torch.zeros(3, requires_grad=True)
bias = start.to(torch.float64)  # named
data = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
cost = ((data - bias) ** 2).sum()
cost.backward()
print(bias.grad, start.grad)
