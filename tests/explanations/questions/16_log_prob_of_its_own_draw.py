"""The log-density of a reparametrised draw does not depend on the mean at all."""
# ask: explain(mean)
# says: contributions sum to exactly 0

import torch

torch.manual_seed(7)
mean = torch.tensor(0.7, requires_grad=True)
noise = torch.randn(())
x = mean + 2.0 * noise  # cause: Cancelled add
log_density = -0.5 * ((x - mean) / 2.0) ** 2
log_density.backward()
print(mean.grad)
