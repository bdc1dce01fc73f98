"""A soft score is compared with a threshold, and the count of decisions is the loss."""
# ask: explain(loss, score)
# says: piecewise constant

import torch

score = torch.tensor([0.2, 0.7, 0.9], requires_grad=True)
decided = score > 0.5  # cause: Discrete gt
loss = decided.float().sum()
print(loss)
