"""The likelihood of many observations, in single precision."""
# ask: explain(mu)
# says: below the smallest float32 number

import torch

mu = torch.tensor(0.1, requires_grad=True)
observed = torch.full((60,), 2.0)
density = torch.exp(-0.5 * (observed - mu) ** 2) * 0.4
likelihood = density[0]
for one in density[1:]:
    likelihood = likelihood * one  # cause: Underflow mul
likelihood.backward()
print(mu.grad)
