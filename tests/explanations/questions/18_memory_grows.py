"""A running sum of losses, for the log."""
# ask: command()
# says: graph kept alive
# says: the graphs of
# says: total
# says: .item()

import torch

w = torch.tensor(0.5, requires_grad=True)
total = 0.0
for x in (1.0, 2.0, 3.0, 4.0, 5.0):
    w.grad = None
    loss = (w * x - 1.0) ** 2
    loss.backward()
    total = total + loss
print(total.item())
