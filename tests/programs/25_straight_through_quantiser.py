"""Training weights that are quantised in the forward pass."""

import torch


def quantise(w, bits=3):
    levels = 2 ** (bits - 1) - 1
    scale = w.detach().abs().max() / levels
    q = torch.clamp(torch.round(w / scale), -levels, levels) * scale
    return w + (q - w).detach()


torch.manual_seed(0)
X = torch.randn(50, 4, dtype=torch.float64)
target = torch.tensor([1.0, -0.33, 0.66, 0.0], dtype=torch.float64)
y = X @ target
w = torch.full((4,), 0.1, dtype=torch.float64, requires_grad=True)
opt = torch.optim.SGD([w], lr=0.05)
for i in range(60):
    loss = ((X @ quantise(w) - y) ** 2).mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
    if i % 15 == 0:
        print(i, f"{loss.item():.5f}")
print(quantise(w).detach().unique(), quantise(w).unique().numel() <= 7)

without = torch.clamp(torch.round(w * 3), -3, 3) / 3
print(torch.autograd.grad(without.sum(), w)[0])
print(torch.autograd.grad(quantise(w).sum(), w)[0])

# Gumbel-softmax, the other common trick
torch.manual_seed(1)
logits = torch.tensor([1.0, 2.0, 0.5], requires_grad=True)
gumbel = -torch.log(-torch.log(torch.rand(3)))
sample = torch.softmax((logits + gumbel) / 0.5, dim=0)
hard = torch.zeros(3).scatter_(0, sample.argmax(), 1.0)
st = hard - sample.detach() + sample
print(st.detach().round(), f"{sample.sum().item():.4f}")
(st * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
print(logits.grad.shape, f"{logits.grad.sum().abs().item():.4f}")
