"""Linear regression with the gradient written out, then with autograd."""

import torch

torch.manual_seed(1)
n = 40
x = torch.linspace(-2, 2, n)
y = 3 * x - 0.5 + 0.1 * torch.randn(n)
print(x.shape, y.dtype, f"{y.mean():.4f} {y.std():.4f}")

w, b, rate = torch.tensor(0.0), torch.tensor(0.0), 0.1
for epoch in range(60):
    prediction = w * x + b
    error = prediction - y
    loss = (error**2).mean()
    w -= rate * 2 * (error * x).mean()
    b -= rate * 2 * error.mean()
    if epoch % 20 == 0:
        print(f"epoch {epoch:3d} loss {loss:.4f}")
print(f"by hand  w {w:.4f} b {b:.4f}")

w = torch.zeros(1, requires_grad=True)
b = torch.zeros(1, requires_grad=True)
for epoch in range(60):
    loss = torch.mean((w * x + b - y) ** 2)
    loss.backward()
    with torch.no_grad():
        w -= rate * w.grad
        b -= rate * b.grad
        w.grad.zero_()
        b.grad.zero_()
print(f"autograd w {w.item():.4f} b {b.item():.4f}")

design = torch.stack([x, torch.ones_like(x)], dim=1)
solution = torch.linalg.lstsq(design, y.unsqueeze(1)).solution.flatten()
print("lstsq   ", " ".join(f"{v:.4f}" for v in solution.tolist()))
normal = torch.linalg.solve(design.T @ design, design.T @ y)
print("normal  ", [round(v, 3) for v in normal.tolist()])
