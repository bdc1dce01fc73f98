"""torch.autograd.functional: jacobian, hessian, vjp, jvp, vhp, hvp."""

import torch
from torch.autograd import functional as AF


def exp_reducer(x):
    return x.exp().sum(dim=1)


x = torch.tensor([[0.0, 1.0], [0.5, -0.5]])
print(AF.jacobian(exp_reducer, x))
print(AF.jacobian(exp_reducer, x, create_graph=True).grad_fn is not None)


def two(x, y):
    return 2 * x + 3 * y, x * y


a, b = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
for row in AF.jacobian(two, (a, b)):
    for block in row:
        print(block)


def pow_adder_reducer(x, y):
    return (2 * x.pow(2) + 3 * y.pow(2)).sum()


print(AF.hessian(pow_adder_reducer, (a, b)))
print(AF.hessian(lambda t: (t**3).sum(), a))
print(AF.vjp(exp_reducer, x, torch.ones(2)))
print(AF.jvp(exp_reducer, x, torch.ones(2, 2)))
print(AF.vhp(lambda t: (t**3).sum(), a, torch.ones(2)))
print(AF.hvp(lambda t: t.prod(), b, torch.tensor([1.0, 0.0])))
print(AF.jacobian(lambda t: torch.stack([t[0] * t[1], t[1].sin(), t[0] / t[1]]), b))
print(AF.jacobian(torch.relu, torch.tensor([-1.0, 0.0, 2.0]), vectorize=True))
print(AF.jacobian(torch.sin, torch.tensor([0.0]), strategy="forward-mode", vectorize=True).tolist())
try:
    AF.jacobian(lambda t: t.detach(), a, strict=True)
except RuntimeError as error:
    print(str(error).splitlines()[0])
try:
    AF.hessian(lambda t: t**2, a)
except RuntimeError as error:
    print(str(error).splitlines()[0])
