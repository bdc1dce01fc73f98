"""Cross entropy written out, with a probability that has become exactly zero."""
# ask: explain(z)
# says: log

import torch

z = torch.tensor([[200.0, 0.0]], requires_grad=True)
probability = torch.softmax(z, dim=1)
loss = -torch.log(probability[0, 1])  # cause: NonFinite log
loss.backward()
print(z.grad)
