"""A recurrence whose matrix is a little too large."""
# ask: flow(norm)
# says: blows up

import torch

A = torch.tensor([[3.0, 1.0], [0.5, 2.5]], requires_grad=True)
state = torch.tensor([1.0, 1.0])
for _ in range(25):
    state = A @ state
norm = state.sum()
norm.backward(retain_graph=True)
print(A.grad.max() > 1e10)
