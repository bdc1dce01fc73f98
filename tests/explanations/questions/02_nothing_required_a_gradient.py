"""No tensor in this program was asked to be followed."""
# ask: error
# says: element 0 of tensors does not require grad and does not have a grad_fn
# says: requires_grad=True
# error: RuntimeError

import torch

a = torch.tensor([1.0, 2.0])
b = torch.tensor([3.0, 4.0])
dot = (a * b).sum()
dot.backward()
print(a.grad)
