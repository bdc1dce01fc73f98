"""A Jacobian of 300 outputs by 2 inputs."""
# ask: plan_jacobian(model, q)
# says: reverse
# says: 300 passes
# says: 2 passes
# says: chunk_size

import torch

t = torch.linspace(0.0, 1.0, 300)


def model(q):
    return q[0] * torch.exp(-q[1] * t)


q = torch.tensor([2.0, 3.0])
print(model(q).shape)
