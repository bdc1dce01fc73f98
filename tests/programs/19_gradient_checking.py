"""Numerical derivatives against autograd: by hand, and with gradcheck."""

import torch
from torch.autograd import Function, gradcheck, gradgradcheck

torch.set_default_dtype(torch.float64)


def numerical(f, x, eps=1e-6):
    g = torch.zeros_like(x)
    flat, gflat = x.view(-1), g.view(-1)
    for i in range(flat.numel()):
        old = flat[i].item()
        flat[i] = old + eps
        up = f(x).item()
        flat[i] = old - eps
        down = f(x).item()
        flat[i] = old
        gflat[i] = (up - down) / (2 * eps)
    return g


def f(x):
    return (x.sin() * x.exp()).sum() / x.shape[0]


x = torch.linspace(-1, 1, 6).reshape(2, 3)
leaf = x.clone().requires_grad_()
f(leaf).backward()
difference = (numerical(f, x) - leaf.grad).abs().max()
print(leaf.grad)
print(f"largest difference below 1e-8: {difference.item() < 1e-8}")


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x**2


class WrongCube(Cube):
    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 2 * x**2


v = torch.tensor([0.5, -1.0, 2.0], requires_grad=True)
print(gradcheck(Cube.apply, (v,)), gradgradcheck(Cube.apply, (v,)))
print(gradcheck(WrongCube.apply, (v,), raise_exception=False))
try:
    gradcheck(WrongCube.apply, (v,))
except RuntimeError as error:
    print(str(error).splitlines()[0])
try:
    gradcheck(Cube.apply, (v.detach(),))
except ValueError as error:
    print(str(error).splitlines()[0])
a = torch.randn(3, 4, requires_grad=True)
b = torch.randn(4, 2, requires_grad=True)
print(gradcheck(torch.matmul, (a, b)), gradcheck(lambda t: torch.logsumexp(t, 1), a))
print(gradcheck(lambda t: torch.nn.functional.layer_norm(t, (4,)), a, fast_mode=True))
torch.set_default_dtype(torch.float32)
