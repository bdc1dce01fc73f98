"""The second derivative of a net with ReLUs."""
# ask: explain(slope, x)
# says: gradient of
# says: le is piecewise constant: its derivative is 0 wherever it exists

import torch

W = torch.tensor([[1.0, -0.2], [0.5, 2.0]])
x = torch.tensor([1.0, 2.0], requires_grad=True)
y = torch.relu(W @ x).sum()
(g,) = torch.autograd.grad(y, x, create_graph=True)  # cause: Discrete le  # also: Discrete masked_fill
slope = g.sum()
print(g.tolist(), slope.item())
