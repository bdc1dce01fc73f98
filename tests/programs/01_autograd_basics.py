"""What requires_grad, grad_fn and backward do, step by step."""

import torch

x = torch.ones(2, 2, requires_grad=True)
print(x)
y = x + 2
print(y)
print(y.grad_fn is not None, x.grad_fn)
z = y * y * 3
out = z.mean()
print(z, out)
out.backward()
print(x.grad)

a = torch.tensor([[0.5, -1.5], [2.0, 3.0]])
a = (a * 3) / (a - 1)
print(a.requires_grad)
a.requires_grad_(True)
b = (a * a).sum()
print(b.grad_fn.name())
print(type(b.grad_fn).__name__, b.grad_fn.next_functions[0][0].name())

v = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
w = v * 2
doublings = 0
while w.data.norm() < 1000:
    w = w * 2
    doublings += 1
print(doublings, w)
w.backward(torch.tensor([0.1, 1.0, 0.0001]))
print(v.grad)

print(v.requires_grad, (v**2).requires_grad)
with torch.no_grad():
    print((v**2).requires_grad)
d = v.detach()
print(d.requires_grad, v.eq(d).all())
try:
    d.sum().backward()
except RuntimeError as error:
    print("RuntimeError:", str(error).splitlines()[0])
