"""A tiny physics-informed network for u' = -u, u(0) = 1."""

import torch
from torch import nn

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)


class Net(nn.Module):
    def __init__(self, width=12):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, t):
        return 1 + t * self.layers(t)


net = Net()
for p in net.parameters():
    nn.init.uniform_(p, -0.5, 0.5)
optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=100, gamma=0.5)
t = torch.linspace(0, 1, 16).unsqueeze(1).requires_grad_(True)
for step in range(201):
    u = net(t)
    (u_t,) = torch.autograd.grad(u, t, torch.ones_like(u), create_graph=True)
    loss = ((u_t + u) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    if step % 50 == 0:
        print(f"{step:4d} {loss.item():.4f} lr {scheduler.get_last_lr()[0]:.4f}")
with torch.no_grad():
    error = (net(t) - torch.exp(-t)).abs().max()
print(f"{error.item():.2f}", net(torch.zeros(1, 1)).item())
torch.set_default_dtype(torch.float32)
