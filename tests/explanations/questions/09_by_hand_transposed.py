"""The gradient of a linear layer, derived by hand, in the wrong orientation."""
# ask: diagnose(by_hand, loss, W)
# says: transpose

import torch

W = torch.tensor([[0.5, -1.0], [2.0, 0.3]], requires_grad=True)
x = torch.tensor([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5]])
y = x @ W
loss = (y**2).sum()
dy = 2.0 * y.detach()
by_hand = dy.T @ x
print(by_hand.shape == W.shape)
