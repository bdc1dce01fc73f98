"""Everything is there except the call."""
# ask: explain(k)
# says: no backward

import torch

k = torch.tensor([2.0, 5.0], requires_grad=True)
energy = 0.5 * (k * torch.tensor([1.0, 3.0]) ** 2).sum()
print(energy.item(), k.grad)
