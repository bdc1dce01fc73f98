"""A recurrent net whose state lives longer than its step."""
# ask: error
# says: Trying to backward through the graph a second time
# says: detach
# error: RuntimeError

import torch

W = torch.tensor([[0.5, 0.1], [0.0, 0.3]], requires_grad=True)
state = torch.zeros(2)
for x in ([1.0, 0.0], [0.0, 1.0], [1.0, 1.0]):
    state = torch.tanh(W @ state + torch.tensor(x))
    loss = (state**2).sum()
    loss.backward()  # named
    print(loss.item())
