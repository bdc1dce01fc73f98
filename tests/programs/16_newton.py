"""Newton's method with torch.autograd.functional.hessian, and with torch.func."""

import torch
from torch.autograd.functional import hessian, jacobian


def f(x):
    return (x[0] - 1) ** 4 + (x[1] + 2) ** 2 + torch.exp(x[0] * x[1])


x = torch.tensor([0.5, -0.5], dtype=torch.float64)
for i in range(8):
    g = jacobian(f, x)
    H = hessian(f, x)
    step = torch.linalg.solve(H, g)
    x = x - step
    print(i, f"{f(x).item():.8f}", f"{g.norm().item():.2e}" if i < 5 else "")
print(x)
print(hessian(f, x).diagonal())
print(torch.linalg.eigvalsh(hessian(f, x)) > 0)

hess = torch.func.hessian(f)
print(torch.allclose(hess(x), hessian(f, x)))


def system(v):
    return torch.stack([v[0] ** 2 + v[1] ** 2 - 4, v[0] * v[1] - 1])


v = torch.tensor([2.0, 0.5])
for _ in range(6):
    v = v - torch.linalg.solve(jacobian(system, v), system(v))
print(v, system(v).abs().max() < 1e-5)


# a root of one equation, with the derivative by autograd
def sqrt2(t0):
    t = torch.tensor(t0, dtype=torch.float64, requires_grad=True)
    for _ in range(6):
        y = t**2 - 2
        y.backward()
        with torch.no_grad():
            t -= y / t.grad
        t.grad = None
    return t


root = sqrt2(1.0)
print(root, f"{root.item():.12f}")
