"""The Jacobian per sample, without the zeros between samples."""
# ask: plan_jacobian(net, batch)
# says: batch of 5: each sample depends on itself only
# ask: plan_jacobian(net, batch).run(batch=True).shape
# says: [5, 3, 2]

import torch

torch.manual_seed(2)
A = torch.randn(3, 2)


def net(x):
    return torch.tanh(x @ A.T)


batch = torch.randn(5, 2)
print(torch.autograd.functional.jacobian(net, batch).shape)
