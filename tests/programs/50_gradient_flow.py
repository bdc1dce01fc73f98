"""Upstream vectors choose what is differentiated: vector-Jacobian products and where gradients stop."""

import torch
import torch.nn.functional as F

W = torch.diag(torch.tensor([1.0, 1.0, 2.0, 3.0]))
W = F.pad(W, (0, 2))
print(W)
x = torch.tensor([0.5, -0.5, 1.0, 2.0, 3.0, -1.0], requires_grad=True)
out = torch.relu(W @ x)
J = torch.autograd.functional.jacobian(lambda t: torch.relu(W @ t), x)
for v in (torch.tensor([0.0, 0.0, 0.2, 0.8]), torch.tensor([0.0, 1.0, 0.0, 0.0]), torch.ones(4)):
    x.grad = None
    out.backward(v, retain_graph=True)
    print(x.grad, torch.equal(x.grad, v @ J))
try:
    out.backward(torch.ones(3))
except RuntimeError as error:
    print(str(error).splitlines()[0])

z = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
for name, f in {
    "sigmoid": torch.sigmoid, "softplus": F.softplus, "leaky": F.leaky_relu, "elu": F.elu, "gelu": F.gelu,
    "silu": F.silu, "hardtanh": F.hardtanh, "relu6": F.relu6, "abs": torch.abs, "floor": torch.floor, "sign": torch.sign,
    "rsqrt": torch.rsqrt, "log1p": torch.log1p, "expm1": torch.expm1, "erf": torch.erf, "atan": torch.atan,
}.items():
    (g,) = torch.autograd.grad(f(z if name in ("rsqrt", "log1p") else z - 2).sum(), z)
    print(f"{name:9s}", [f"{v:.4f}" for v in g.flatten().tolist()])

for name, f in {
    "mean": torch.mean, "std": torch.std, "var": torch.var, "norm": torch.norm, "max": torch.max, "min": torch.min,
    "prod": torch.prod, "logsumexp": lambda t: torch.logsumexp(t, (0, 1)), "median": torch.median,
    "amax": lambda t: t.amax(0).sum(), "cummax": lambda t: t.cummax(0).values.sum(), "cumsum": lambda t: t.cumsum(1).sum(),
    "cumprod": lambda t: t.cumprod(1).sum(), "softmax": lambda t: (torch.softmax(t, 1) * t.detach()).sum(),
}.items():
    y = f(z)
    (g,) = torch.autograd.grad(y, z)
    print(f"{name:9s} {y.item():9.4f}", [f"{v:.4f}" for v in g.flatten().tolist()], y.grad_fn.name())
kinks = torch.tensor([-1.0, 0.0, 1.0], requires_grad=True)
for f in (torch.relu, torch.abs, torch.sign, lambda t: t.clamp(0, 1), lambda t: torch.maximum(t, torch.zeros(3)), lambda t: t.pow(3)):
    print(torch.autograd.grad(f(kinks).sum(), kinks)[0])
