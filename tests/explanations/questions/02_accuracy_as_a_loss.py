"""The share of right answers as the loss."""
# ask: error
# says: element 0 of tensors does not require grad and does not have a grad_fn
# says: argmax
# error: RuntimeError

import torch

logits = torch.tensor([[2.0, 1.0], [0.5, 1.5], [1.0, 0.0]], requires_grad=True)
truth = torch.tensor([0, 0, 0])
answer = logits.argmax(dim=1)  # named
error_rate = 1.0 - (answer == truth).float().mean()
error_rate.backward()
print(logits.grad)
