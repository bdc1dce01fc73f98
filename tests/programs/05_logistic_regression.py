"""Logistic regression: gradient by hand, with autograd, with nn."""

import torch
import torch.nn.functional as F

torch.manual_seed(42)
n, d = 100, 2
X = torch.cat([torch.randn(n // 2, d) + 1.5, torch.randn(n // 2, d) - 1.5])
y = torch.cat([torch.ones(n // 2), torch.zeros(n // 2)])

w = torch.zeros(d)
b = torch.zeros(())
for _ in range(100):
    p = 1 / (1 + torch.exp(-(X @ w + b)))
    gw = X.T @ (p - y) / n
    gb = (p - y).mean()
    w, b = w - 0.5 * gw, b - 0.5 * gb
print("by hand ", [f"{v:.3f}" for v in w.tolist()], f"{b.item():.3f}")

w2 = torch.zeros(d, requires_grad=True)
b2 = torch.zeros((), requires_grad=True)
opt = torch.optim.SGD([w2, b2], lr=0.5)
for i in range(100):
    opt.zero_grad()
    logits = X @ w2 + b2
    loss = F.binary_cross_entropy_with_logits(logits, y)
    loss.backward()
    opt.step()
    if i in (0, 1, 9, 99):
        print(i, f"{loss.item():.4f}")
print("autograd", [f"{v:.3f}" for v in w2.tolist()], f"{b2.item():.3f}")

with torch.no_grad():
    probability = torch.sigmoid(X @ w2 + b2)
    predicted = (probability > 0.5).float()
    accuracy = (predicted == y).float().mean()
print(f"accuracy {accuracy:.2%}", predicted[:5], predicted.sum())
confusion = torch.zeros(2, 2, dtype=torch.long)
for t, p in zip(y.long(), predicted.long()):
    confusion[t, p] += 1
print(confusion)
print(F.binary_cross_entropy(probability, y).item() - loss.item() < 1e-3)
