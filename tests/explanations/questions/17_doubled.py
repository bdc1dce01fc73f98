"""The second gradient is twice the first, and the third three times."""
# ask: explain(w)
# says: sum of 3 backward passes

import torch

w = torch.tensor([1.0, 2.0], requires_grad=True)
for step in range(3):
    loss = (w * 3.0).sum()
    loss.backward()
    print(step, w.grad)
