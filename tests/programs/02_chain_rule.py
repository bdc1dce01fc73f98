"""The chain rule by hand and by autograd, side by side."""

import torch

x = torch.tensor(1.5, requires_grad=True)
w = torch.tensor(-0.5, requires_grad=True)
b = torch.tensor(0.25, requires_grad=True)

z = w * x + b
a = torch.sigmoid(z)
loss = (a - 1) ** 2
loss.backward()

dl_da = 2 * (a.item() - 1)
da_dz = a.item() * (1 - a.item())
print(f"{'name':>5} {'autograd':>10} {'by hand':>10}")
for name, leaf, dz in (("x", x, w.item()), ("w", w, x.item()), ("b", b, 1.0)):
    print(f"{name:>5} {leaf.grad:10.5f} {dl_da * da_dz * dz:10.5f}")

# many steps: keep what goes through each one
t = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
steps = [torch.sin, torch.exp, torch.tanh, torch.sqrt]
values = [t]
for step in steps:
    value = step(values[-1])
    value.retain_grad()
    values.append(value)
values[-1].backward()
for step, value in zip(["t", *[s.__name__ for s in steps]], values):
    print(f"{step:>5}: value {value.item():.8f}  d last / d this {value.grad.item():.8f}")

local = [1.0]
for before, after, step in zip(values, values[1:], steps):
    fresh = before.detach().clone().requires_grad_(True)
    (g,) = torch.autograd.grad(step(fresh), fresh)
    local.append(g.item())
product = 1.0
for g in local:
    product *= g
print(f"product of the local derivatives {product:.8f}")
print(values[-1].grad_fn.name(), values[1].grad_fn.name(), t.grad_fn)
