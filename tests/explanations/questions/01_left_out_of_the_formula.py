"""A bias that the forward pass forgot."""
# ask: explain(b)
# says: no recorded op
# cause: NoPath

import torch

W = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
b = torch.tensor([0.1, 0.2], requires_grad=True)
h = W @ torch.tensor([1.0, -1.0])
loss = (h * h).sum()
loss.backward()
print(W.grad, b.grad)
