"""Quantised weights."""
# ask: explain(w)
# says: piecewise constant
# says: straight-through

import torch

w = torch.tensor([0.2, 1.7], requires_grad=True)
quantised = torch.round(w * 4.0) / 4.0  # cause: Discrete round
((quantised - 1.0) ** 2).sum().backward()
print(w.grad)
