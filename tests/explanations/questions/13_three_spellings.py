"""relu, maximum and clamp of the same numbers have different gradients at zero."""
# ask: kinks(lambda x: torch.relu(x).sum(), x)
# says: relu
# ask: kinks(lambda x: torch.maximum(x, torch.zeros(3)).sum(), x)
# says: maximum
# ask: kinks(lambda x: torch.clamp(x, min=0.0).sum(), x)
# says: clamp

import torch

x = torch.tensor([-1.0, 0.0, 1.0], requires_grad=True)
for f in (torch.relu, lambda a: torch.maximum(a, torch.zeros(3)), lambda a: torch.clamp(a, min=0.0)):
    (slope,) = torch.autograd.grad(f(x).sum(), x)
    print(slope)
