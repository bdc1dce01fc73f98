"""Linear regression with nn.Linear and SGD."""

import torch
from torch import nn, optim

torch.manual_seed(0)
X = torch.randn(64, 3)
true_w = torch.tensor([[1.5, -2.0, 0.5]])
y = X @ true_w.T + 0.3 + 0.01 * torch.randn(64, 1)

model = nn.Linear(3, 1)
print(model)
print([(name, tuple(p.shape), p.requires_grad) for name, p in model.named_parameters()])
criterion = nn.MSELoss()
optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
for epoch in range(101):
    optimizer.zero_grad()
    output = model(X)
    loss = criterion(output, y)
    loss.backward()
    optimizer.step()
    if epoch % 25 == 0:
        print(f"Epoch [{epoch:3d}/100], Loss: {loss.item():.4f}")
print("weight", model.weight.data.round(decimals=2), "bias", f"{model.bias.item():.2f}")
print(model.weight.grad.abs().max() < 1e-3)
print(optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"], optimizer.state_dict()["param_groups"][0]["params"])
with torch.no_grad():
    print(model(torch.tensor([[1.0, 1.0, 1.0]])).round(decimals=2))
print(sum(p.numel() for p in model.parameters()), "parameters")
