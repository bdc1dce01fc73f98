"""Rosenbrock's valley with gradient descent, Adam and LBFGS."""

import torch


def rosenbrock(p):
    x, y = p
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def start():
    return torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)


p = start()
for _ in range(500):
    (gradient,) = torch.autograd.grad(rosenbrock(p), p)
    p = (p - 1e-3 * gradient).detach().requires_grad_()
print("descent", [f"{v:.4f}" for v in p.tolist()], f"{rosenbrock(p).item():.6f}")

p = start()
optimizer = torch.optim.Adam([p], lr=0.05)
for _ in range(300):
    optimizer.zero_grad()
    value = rosenbrock(p)
    value.backward()
    optimizer.step()
print("adam   ", [f"{v:.4f}" for v in p.tolist()], f"{value.item():.6f}")

p = start()
optimizer = torch.optim.LBFGS([p], lr=1, max_iter=20, line_search_fn="strong_wolfe")
calls = 0


def closure():
    global calls
    calls += 1
    optimizer.zero_grad()
    value = rosenbrock(p)
    value.backward()
    return value


for outer in range(3):
    value = optimizer.step(closure)
    print("lbfgs  ", outer, calls, f"{value.item():.6e}", [f"{v:.5f}" for v in p.tolist()])
print(p.grad.norm().item() < 1e-5)
