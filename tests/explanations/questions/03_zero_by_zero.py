"""A mean over a mask that selects nothing."""
# ask: explain(v)
# says: the denominator is zero

import torch

v = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
mask = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
means = (v * mask).sum(dim=1) / mask.sum(dim=1)  # cause: NonFinite div  # cause: Annihilated mul
means.sum().backward()
print(v.grad)
