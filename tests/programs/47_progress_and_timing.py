"""Loops with tqdm and timing; what they print goes to stderr or nowhere."""

import time

import torch

try:
    from tqdm import tqdm, trange
except ImportError:
    tqdm = lambda it, **_: it
    trange = lambda n, **_: range(n)

torch.manual_seed(0)
W = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
repeats = 300
started = time.perf_counter()
total = torch.zeros(3)
for _ in trange(repeats, disable=True):
    x = torch.randn(3, requires_grad=True)
    out = torch.relu(W @ x)
    out.backward(torch.tensor([0.25, 0.75]))
    with torch.no_grad():
        total += x.grad
elapsed = time.perf_counter() - started
print(total / repeats, elapsed > 0)

losses = []
w = torch.zeros(2, requires_grad=True)
bar = tqdm(range(50), desc="training", disable=True)
for i in bar:
    loss = ((w - torch.tensor([1.0, -1.0])) ** 2).sum()
    loss.backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
        w.grad.zero_()
    losses.append(loss.item())
    if hasattr(bar, "set_postfix"):
        bar.set_postfix(loss=loss.item())
print(f"{losses[0]:.4f} -> {losses[-1]:.2e}", all(a > b for a, b in zip(losses, losses[1:])))

k, norm = 0, float("inf")
w = torch.tensor([0.0, 0.0], requires_grad=True)
while k < 1000 and norm > 1e-3:
    if w.grad is not None:
        w.grad.zero_()
    L = (w[0] - 2) ** 2 + (w[1] + 3) ** 2
    L.backward()
    with torch.no_grad():
        w -= 0.05 * w.grad
    norm = w.grad.norm().item()
    k += 1
    if k % 20 == 0:
        print(f"Iteration {k}: ||grad|| = {norm:.5f}")
print(k, w.detach().round(decimals=2))
