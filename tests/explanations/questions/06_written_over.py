"""A saved value was changed before backward needed it."""
# ask: error
# says: modified by an inplace operation
# says: is at version 1; expected version 0
# says: the value is needed
# says: y = y + 1.0
# error: RuntimeError

import torch

x = torch.tensor([0.1, 0.2], requires_grad=True)
y = torch.exp(x)  # named
loss = (y * 2.0).sum()
y += 1.0  # named
loss.backward()
print(x.grad)
