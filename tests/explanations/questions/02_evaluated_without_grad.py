"""The forward pass of the evaluation loop was used for training."""
# ask: error
# says: element 0 of tensors does not require grad and does not have a grad_fn
# says: no_grad
# error: RuntimeError

import torch

net = torch.nn.Linear(3, 1)
batch = torch.ones(4, 3)
with torch.no_grad():
    prediction = net(batch)  # named
loss = ((prediction - 1.0) ** 2).mean()
loss.backward()
