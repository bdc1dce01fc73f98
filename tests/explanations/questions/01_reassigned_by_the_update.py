"""Gradient descent by hand; in the second step there is no gradient any more."""
# ask: explain(w)
# says: .grad is None: it is no leaf
# says: sub
# ask: error
# says: NoneType
# error: TypeError

import torch

x = torch.tensor([1.0, 2.0, 3.0])
y = 2.0 * x
w = torch.tensor(0.0, requires_grad=True)
for step in range(2):
    loss = ((w * x - y) ** 2).mean()
    loss.backward()
    w = w - 0.1 * w.grad  # named
    print(step, w.item())
