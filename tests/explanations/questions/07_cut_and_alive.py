"""One of two ways is cut: the gradient is not what the formula says, but it is not zero either."""
# ask: explain(a)
# says: Flows
# ask: explain(b)
# says: detach

import torch

a = torch.tensor([1.0, 2.0], requires_grad=True)
b = torch.tensor([3.0, 4.0], requires_grad=True)
target = (a * b).detach()  # cause: Stopped detach
loss = ((a - target) ** 2).sum()
loss.backward()
print(a.grad, b.grad)
