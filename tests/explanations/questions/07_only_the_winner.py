"""Max pooling over time: who gets the gradient?"""
# ask: explain(signal)
# says: picked 5, not this entry

import torch

signal = torch.tensor([[1.0, 5.0, 2.0]], requires_grad=True)
peak, at = signal.max(dim=1)  # cause: Unselected max_dim
(peak * 2.0).sum().backward()
print(signal.grad, at)
