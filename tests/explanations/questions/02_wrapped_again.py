"""A list of losses, averaged."""
# ask: error
# says: element 0 of tensors does not require grad and does not have a grad_fn
# says: item
# error: RuntimeError

import torch

rate = torch.tensor(0.4, requires_grad=True)
times = [1.0, 2.0, 4.0]
losses = []
for t in times:
    decay = torch.exp(-rate * t)
    losses.append(((decay - 0.5) ** 2).item())  # named
total = torch.tensor(losses).mean()
total.backward()
print(rate.grad)
