"""Everything was initialised with zeros; nothing learns but the last bias."""
# ask: explain(first)
# says: is exactly 0 (a value that autograd follows)
# ask: explain(second)
# says: is exactly 0
# ask: explain(bias)
# says: Flows

import torch

inputs = torch.tensor([[1.0, -1.0], [0.5, 2.0]])
first = torch.zeros(2, 2, requires_grad=True)
second = torch.zeros(2, 1, requires_grad=True)
bias = torch.zeros(1, requires_grad=True)
hidden = torch.tanh(inputs @ first)
out = hidden @ second + bias  # cause: Annihilated mm
loss = ((out - 1.0) ** 2).mean()
loss.backward()
print(first.grad, second.grad, bias.grad)
