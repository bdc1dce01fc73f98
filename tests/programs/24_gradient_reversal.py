"""Custom Functions: gradient reversal, straight-through rounding, a clamp that lets gradients pass."""

import torch
from torch import nn
from torch.autograd import Function


class Reverse(Function):
    @staticmethod
    def forward(ctx, x, strength):
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad_output):
        return -ctx.strength * grad_output, None


class RoundSTE(Function):
    @staticmethod
    def forward(x):
        return x.round()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, g):
        return g


class GradReverseLayer(nn.Module):
    def __init__(self, strength):
        super().__init__()
        self.strength = strength

    def forward(self, x):
        return Reverse.apply(x, self.strength)

    def extra_repr(self):
        return f"strength={self.strength}"


x = torch.tensor([0.3, 1.7, -2.5], requires_grad=True)
y = Reverse.apply(x, 0.5)
print(y, y.grad_fn.name())
y.sum().backward()
print(x.grad)

x.grad = None
q = RoundSTE.apply(x)
print(q)
(q**2).sum().backward()
print(x.grad, torch.autograd.grad(x.round().sum(), x))

# the same with detach, without a class
soft = torch.sigmoid(x)
hard = (soft > 0.5).float()
ste = soft + (hard - soft).detach()
print(ste.detach())
print(torch.autograd.grad(ste.sum(), x)[0].round(decimals=4), (soft * (1 - soft)).detach().round(decimals=4))

torch.manual_seed(0)
feature = nn.Linear(2, 3)
label, domain = nn.Linear(3, 1), nn.Sequential(GradReverseLayer(2.0), nn.Linear(3, 1))
print(domain)
h = feature(torch.randn(4, 2))
g1 = torch.autograd.grad(domain[1](h).sum(), feature.bias, retain_graph=True)[0]
g2 = torch.autograd.grad(domain(h).sum(), feature.bias, retain_graph=True)[0]
print(torch.allclose(g2, -2 * g1), f"{label(h).mean().item():.4f}")
try:
    Reverse()(x, 1.0)
except RuntimeError as error:
    print(str(error).splitlines()[0])
