"""A list of states for a plot, and every step of the simulation stays in memory."""
# ask: command()
# says: graph kept alive
# says: the graphs of
# says: history

import torch

gain = torch.tensor(0.9, requires_grad=True)
history = []
for step in range(6):
    state = torch.exp(-gain * step)
    (state**2).backward()
    history.append(state)
    gain.grad = None
print(len(history))
