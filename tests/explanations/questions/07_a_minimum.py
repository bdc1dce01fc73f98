"""A fit that has arrived."""
# ask: explain(c)
# says: slope 0 exactly here

import torch

c = torch.tensor([2.0, 5.0], requires_grad=True)
data = torch.tensor([2.0, 4.0])
error = c - data
loss = (error**2).sum()  # cause: Stationary pow
loss.backward()
print(c.grad)
