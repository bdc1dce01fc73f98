"""Weights that were reshaped right where they were made: where did their gradient go?"""
# ask: explain(w)
# says: .grad is None: it is no leaf
# says: retain_grad()
# ask: w.grad
# says: is not a leaf
# says: of shape [4]

import torch

w = torch.tensor([1.0, -2.0, 3.0, 0.5], requires_grad=True).view(2, 2)  # named
x = torch.tensor([[1.0], [2.0]])
loss = (w @ x).sum()
loss.backward()
print(w.grad)
