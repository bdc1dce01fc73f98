"""Gradients add up: micro-batches give the gradient of the whole batch."""

import torch
from torch import nn

torch.manual_seed(5)
X, y = torch.randn(32, 4, dtype=torch.float64), torch.randn(32, 1, dtype=torch.float64)
model = nn.Linear(4, 1, dtype=torch.float64)
loss_fn = nn.MSELoss()

model.zero_grad()
loss_fn(model(X), y).backward()
whole = [p.grad.clone() for p in model.parameters()]

model.zero_grad()
print([p.grad for p in model.parameters()])
for xb, yb in zip(X.chunk(4), y.chunk(4)):
    (loss_fn(model(xb), yb) / 4).backward()
parts = [p.grad.clone() for p in model.parameters()]
for a, b in zip(whole, parts):
    print(torch.allclose(a, b), a.shape)

model.zero_grad(set_to_none=False)
print(model.bias.grad, model.weight.grad.abs().sum())

steps, accumulate = 0, 3
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for i, (xb, yb) in enumerate(zip(X.split(8), y.split(8))):
    loss = loss_fn(model(xb), yb) / accumulate
    loss.backward()
    if (i + 1) % accumulate == 0 or i == 3:
        optimizer.step()
        optimizer.zero_grad()
        steps += 1
    print(i, f"{loss.item():.6f}", steps)

inp = torch.eye(4, 5, requires_grad=True)
out = (inp + 1).pow(2).t()
out.backward(torch.ones_like(out), retain_graph=True)
print(f"First call\n{inp.grad}")
out.backward(torch.ones_like(out), retain_graph=True)
print(f"\nSecond call\n{inp.grad}")
inp.grad.zero_()
out.backward(torch.ones_like(out), retain_graph=True)
print(f"\nCall after zeroing gradients\n{inp.grad}")
