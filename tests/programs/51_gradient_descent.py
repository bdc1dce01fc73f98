"""Gradient descent with a stopping rule; every digit of the norm of the gradient is printed."""

import torch

w = torch.tensor([0.0, 0.0], requires_grad=True)
maxiter, tol, lr = 300, 1e-06, 5e-02
norm_grad, k = float("inf"), 0
while k < maxiter and norm_grad > tol:
    if w.grad is not None:
        w.grad.zero_()
    L = (w[0] - 2) ** 2 + (w[1] + 3) ** 2
    L.backward()
    with torch.no_grad():
        w -= lr * w.grad
    norm_grad = w.grad.norm().item()
    k += 1
    print(f"Iteration {k}: ||grad|| = {norm_grad}")
print(k, w)
for n in (1, 2, 3, 4, 5, 7, 8, 11, 15):
    v = torch.linspace(-1, 1.7, n)
    print(n, torch.norm(v).item(), v.norm(p=1).item() > 0)
w = torch.tensor([0.1, 0.0, 0.1, 0.0, 0.1, 0.0, 0.1, 0.0], requires_grad=True)
L = torch.norm(w) ** 2
L.backward()
print(w.grad)
