"""Twenty sigmoid layers."""
# ask: flow(loss)
# says: sigmoid
# says: per op
# ask: explain(first)
# says: Flows

import torch

torch.manual_seed(1)
first = torch.full((4, 4), 0.3, requires_grad=True)
x = torch.ones(1, 4)
h = torch.sigmoid(x @ first)
for _ in range(20):
    h = torch.sigmoid(h @ torch.full((4, 4), 0.25))
loss = h.sum()
loss.backward(retain_graph=True)
print(first.grad.abs().max() < 1e-10)
