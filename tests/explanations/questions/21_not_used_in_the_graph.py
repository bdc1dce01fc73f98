"""The sensitivity to a parameter whose effect was subtracted as a plain number."""
# ask: error
# says: The differentiated Tensor at index 1 appears to not have been used in the graph
# says: allow_unused=True
# error: RuntimeError

import torch

a = torch.tensor(2.0, requires_grad=True)
b = torch.tensor(3.0, requires_grad=True)
offset = (b**2).detach()  # named
f = a * 4.0 - offset
da, db = torch.autograd.grad(f, (a, b))
print(da, db)
