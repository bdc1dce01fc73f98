"""The logarithm is guarded by `where`, and its gradient was still nan."""
# differs: a branch that was not selected contributes nothing here
# ask: explain(p)
# says: 0 x inf at log
# says: where(ok, x, 1.0)

import torch

p = torch.tensor([0.0, 0.25, 1.0], requires_grad=True)
logs = torch.log(p)  # named
safe = torch.where(p > 0, logs, torch.zeros(3))  # cause: Unselected where
entropy = -(p * safe).sum()  # also: Annihilated mul
entropy.backward()
print(p.grad)
