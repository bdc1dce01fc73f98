"""The sum of softmax probabilities does not depend on the logits."""
# ask: explain(z)
# says: cancel
# ask: explain(z).why(0)

import torch

z = torch.tensor([0.0, 0.0, 0.0, 0.0], requires_grad=True)
total = torch.softmax(z, dim=0).sum()  # cause: Cancelled softmax
total.backward()
print(z.grad)
