"""The features were detached for a plot and then used."""
# ask: error
# says: element 0 of tensors does not require grad and does not have a grad_fn
# says: detach
# error: RuntimeError

import torch

w = torch.tensor([0.3, 0.7], requires_grad=True)
features = torch.tanh(w * 2.0)
shown = features.detach()  # named
score = (shown**2).sum()
score.backward()
print(w.grad)
