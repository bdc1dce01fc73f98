"""Scaled dot-product attention from scratch, with a causal mask and several heads."""

import math

import torch
import torch.nn as nn
from torch.nn import functional as F

torch.manual_seed(1337)
B, T, C = 2, 4, 8
x = torch.randn(B, T, C)

tril = torch.tril(torch.ones(T, T))
wei = torch.zeros((T, T)).masked_fill(tril == 0, float("-inf"))
print(wei)
wei = F.softmax(wei, dim=-1)
print(wei)
print(torch.allclose(wei @ x, torch.stack([x[:, : t + 1].mean(1) for t in range(T)], 1), atol=1e-6))


class Head(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.key = nn.Linear(C, size, bias=False)
        self.query = nn.Linear(C, size, bias=False)
        self.value = nn.Linear(C, size, bias=False)
        self.register_buffer("tril", torch.tril(torch.ones(T, T)))

    def forward(self, x):
        _, t, _ = x.shape
        k, q, v = self.key(x), self.query(x), self.value(x)
        scores = q @ k.transpose(-2, -1) / math.sqrt(k.size(-1))
        scores = scores.masked_fill(self.tril[:t, :t] == 0, float("-inf"))
        return F.softmax(scores, dim=-1) @ v


class MultiHead(nn.Module):
    def __init__(self, heads, size):
        super().__init__()
        self.heads = nn.ModuleList([Head(size) for _ in range(heads)])
        self.proj = nn.Linear(heads * size, C)

    def forward(self, x):
        return self.proj(torch.cat([h(x) for h in self.heads], dim=-1))


attention = MultiHead(2, 4)
print(attention)
x.requires_grad_()
out = attention(x)
print(out.shape, f"{out.mean().item():.4f}")
# position 1 may not look at positions 2 and 3
out[0, 1].sum().backward()
print((x.grad[0].abs().sum(-1) > 0).tolist(), x.grad[1].abs().sum().item())
print(sorted(attention.state_dict())[:3], sum(p.numel() for p in attention.parameters()))

q, k, v = (torch.randn(1, 2, 3, 4, dtype=torch.float64) for _ in range(3))
by_hand = torch.softmax(q @ k.mT / 2, -1) @ v
by_einsum = torch.einsum("bhij,bhjd->bhid", torch.softmax(torch.einsum("bhid,bhjd->bhij", q, k) / 2, -1), v)
print(torch.allclose(by_einsum, by_hand))
