"""A tiny network learns XOR."""

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(3)
X = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
Y = torch.tensor([[0.0], [1.0], [1.0], [0.0]])


class XOR(nn.Module):
    def __init__(self, hidden=4):
        super().__init__()
        self.fc1 = nn.Linear(2, hidden)
        self.fc2 = nn.Linear(hidden, 1)

    def forward(self, x):
        x = torch.tanh(self.fc1(x))
        return torch.sigmoid(self.fc2(x))


net = XOR()
print(net)
print(f"{net.fc1.weight[0, 0].item():.4f} {net.fc2.bias.item():.4f}")
optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
for step in range(301):
    optimizer.zero_grad()
    loss = F.mse_loss(net(X), Y)
    loss.backward()
    optimizer.step()
    if step % 100 == 0:
        print(f"step {step:3d} loss {loss.item():.4f}")
prediction = net(X)
print(prediction.round().flatten().tolist(), prediction.requires_grad)
for name, p in net.named_parameters():
    print(f"{name:12s} {str(tuple(p.shape)):8s} grad norm below 0.05: {(p.grad.norm() < 0.05).item()}")
print(list(net.state_dict()))
