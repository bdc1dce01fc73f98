"""A hidden layer that never fires: two of its three units are off for the whole batch."""
# ask: explain(bias)
# says: its input is not positive
# ask: explain(bias).why(2)
# says: entry [2, 2] of relu is closed

import torch

batch = torch.tensor([[1.0, 2.0], [0.5, 1.0], [2.0, 0.1]])
weight = torch.tensor([[1.0, 1.0], [-1.0, -2.0], [-3.0, 0.5]])
bias = torch.tensor([0.0, 0.5, -1.0], requires_grad=True)
hidden = torch.relu(batch @ weight.T + bias)  # cause: GateClosed relu
loss = (hidden.sum(dim=1) - 1.0).pow(2).mean()
loss.backward()
print(bias.grad)
