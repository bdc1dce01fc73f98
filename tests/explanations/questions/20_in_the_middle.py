"""What is the gradient of a hidden layer?"""
# ask: explain(loss, hidden)
# says: Flows
# ask: explain(loss, hidden).gradient
# says: [1. 4. 9.]

import torch

w = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
hidden = w * 2.0
weights = torch.tensor([1.0, 4.0, 9.0])
loss = (hidden * weights).sum()
print(loss.item())
