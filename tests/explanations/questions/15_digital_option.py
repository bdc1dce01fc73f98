"""The delta of a digital option is zero on every path."""
# ask: explain(payoff, spot)
# ask: sensitivity(digital, (100.0, distributions.Normal(0.0, 1.0)), wrt=0, samples=2000, seed=1)
# says: 2 jumps missed
# ask: sensitivity(digital, (100.0, distributions.Normal(0.0, 1.0)), wrt=0, samples=2000, seed=1).jumps[0]
# says: f jumps at `gt`
# says: a finite difference over
# says: method="likelihood_ratio", or smooth=

import torch

torch.manual_seed(4)
spot = torch.tensor(100.0, requires_grad=True)
z = torch.randn(500)


def digital(spot, z):
    paid = spot * torch.exp(0.2 * z - 0.02) > 100.0  # cause: Discrete gt
    return torch.where(paid, 1.0, 0.0)  # also: Discrete where


payoff = digital(spot, z).mean()
try:
    payoff.backward()
except RuntimeError as error:
    print(str(error).splitlines()[0])
