"""Leaves, intermediate gradients, retain_graph, and what happens without them."""

import warnings

import torch

a = torch.tensor([2.0, 3.0], requires_grad=True)
b = torch.tensor([6.0, 4.0], requires_grad=True)
q = 3 * a**3 - b**2
q.retain_grad()
loss = q.sum()
loss.backward(retain_graph=True)
print(a.grad == 9 * a**2, b.grad == -2 * b)
print(q.grad, q.is_leaf, a.is_leaf, q.retains_grad, a.retains_grad)
loss.backward()
print(a.grad, "twice as much", q.grad)
try:
    loss.backward()
except RuntimeError as error:
    print(str(error).splitlines()[0])

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print((a * 2).grad)
    print(len(caught), caught[0].category.__name__, str(caught[0].message).split(". ")[0])

c = torch.rand(3)
print(c.is_leaf, c.requires_grad, c.grad_fn)
c.requires_grad_()
d = c * 1
print(c.is_leaf, d.is_leaf)
print(torch.autograd.grad(d.sum(), c))
print(torch.autograd.grad((c * 1).prod(), [c, a], allow_unused=True)[1])
try:
    torch.autograd.grad((c * 2).sum(), [c, a])
except RuntimeError as error:
    print(str(error).splitlines()[0])
try:
    (c * 2).backward()
except RuntimeError as error:
    print(str(error).splitlines()[0])
try:
    c.retain_grad()
    print("a leaf may be asked to retain", c.retains_grad)
    d.detach().retain_grad()
except RuntimeError as error:
    print(str(error).splitlines()[0])
