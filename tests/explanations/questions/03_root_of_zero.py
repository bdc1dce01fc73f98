"""The length of a difference, which is zero for one pair."""
# ask: explain(a)
# says: inf
# says: keep it away

import torch

a = torch.tensor([[1.0, 2.0], [5.0, 5.0]], requires_grad=True)
b = torch.tensor([[4.0, 6.0], [5.0, 5.0]])
square = ((a - b) ** 2).sum(dim=1)
distance = torch.sqrt(square)  # cause: NonFinite sqrt
distance.sum().backward()
print(a.grad)
