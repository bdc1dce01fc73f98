"""Training with an optimizer, and the steps grow and grow."""
# ask: command()
# says: accumulation without zeroing
# says: zero_grad()
# ask: explain(net.weight)
# says: sum of 4 backward passes

import torch

torch.manual_seed(0)
net = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
inputs = torch.tensor([[1.0, 2.0], [0.5, -1.0]])
truth = torch.tensor([[1.0], [0.0]])
for _ in range(4):
    loss = ((net(inputs) - truth) ** 2).mean()
    loss.backward()
    optimizer.step()
print(net.weight.grad.shape)
