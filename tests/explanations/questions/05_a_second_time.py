"""The same record, walked twice."""
# ask: error
# says: Trying to backward through the graph a second time
# says: retain_graph=True
# error: RuntimeError

import torch

w = torch.tensor(0.5, requires_grad=True)
shared = torch.exp(w * 3.0)  # named
first = shared**2
second = torch.sin(shared)
first.backward()  # named
second.backward()
print(w.grad)
