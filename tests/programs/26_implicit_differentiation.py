"""Derivative of a fixed point and of an argmin, implicitly and by unrolling."""

import torch

torch.set_default_dtype(torch.float64)
theta = torch.tensor(0.7, requires_grad=True)


def step(x, theta):
    return torch.cos(theta * x)


x = torch.tensor(0.5)
for _ in range(60):
    x = step(x, theta)
(unrolled,) = torch.autograd.grad(x, theta)

with torch.no_grad():
    star = torch.tensor(0.5)
    for _ in range(60):
        star = step(star, theta)
star = star.requires_grad_()
value = step(star, theta)
dx, dtheta = torch.autograd.grad(value, (star, theta))
implicit = dtheta / (1 - dx)
print(f"fixed point {star.item():.8f} unrolled {unrolled.item():.8f} implicit {implicit.item():.8f}")


class Root(torch.autograd.Function):
    """x(a) with x^3 + a x - 1 = 0."""

    @staticmethod
    def forward(ctx, a):
        x = torch.ones_like(a)
        for _ in range(40):
            x = x - (x**3 + a * x - 1) / (3 * x**2 + a)
        ctx.save_for_backward(a, x)
        return x

    @staticmethod
    def backward(ctx, g):
        a, x = ctx.saved_tensors
        return -g * x / (3 * x**2 + a)


a = torch.tensor([0.5, 1.0, 2.0], requires_grad=True)
root = Root.apply(a)
print(root)
root.sum().backward()
print(a.grad)
eps = 1e-6
numeric = (Root.apply(a.detach() + eps) - Root.apply(a.detach() - eps)) / (2 * eps)
print(torch.allclose(a.grad, numeric, atol=1e-8))

# ridge regression: d solution / d penalty
torch.manual_seed(0)
A, b = torch.randn(8, 3), torch.randn(8)
lam = torch.tensor(0.3, requires_grad=True)
w = torch.linalg.solve(A.T @ A + lam * torch.eye(3), A.T @ b)
jac = torch.stack([torch.autograd.grad(wi, lam, retain_graph=True)[0] for wi in w])
by_hand = -torch.linalg.solve(A.T @ A + lam.detach() * torch.eye(3), w.detach())
print(torch.allclose(jac, by_hand), [f"{v:.5f}" for v in jac.tolist()])
torch.set_default_dtype(torch.float32)
