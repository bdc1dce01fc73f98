"""Inputs that were never scaled, and a sigmoid."""
# ask: explain(scale)
# says: exactly 0 in float32

import torch

scale = torch.tensor([1.0, 0.01], requires_grad=True)
reading = torch.tensor([250.0, 250.0])
level = torch.sigmoid(scale * reading)  # cause: Saturated sigmoid
loss = ((level - 0.5) ** 2).sum()
loss.backward()
print(scale.grad)
