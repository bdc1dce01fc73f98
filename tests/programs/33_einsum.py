"""einsum in the ways it is taught, and its gradients."""

import torch

a = torch.arange(6.0).reshape(2, 3)
b = torch.arange(12.0).reshape(3, 4)
v = torch.tensor([1.0, -1.0, 2.0])
print(torch.einsum("ij->ji", a))
print(torch.einsum("ij->", a), torch.einsum("ij->i", a), torch.einsum("ij->j", a))
print(torch.einsum("ij,j->i", a, v))
print(torch.einsum("ik,kj->ij", a, b))
print(torch.einsum("i,j->ij", v, v))
print(torch.einsum("ij,ij->ij", a, a))
square = torch.arange(9.0).view(3, 3)
print(torch.einsum("ii", square), torch.einsum("ii->i", square))
batch = torch.arange(12.0).view(2, 2, 3)
print(torch.einsum("bij,bkj->bik", batch, batch))
print(torch.einsum("...j,j->...", batch, v))
print(torch.einsum("bij,jk,bk->bi", batch, torch.ones(3, 2), torch.ones(2, 2)))
print(torch.equal(torch.einsum("ij,jk", a, b), a @ b))

x = a.clone().requires_grad_()
w = b.clone().requires_grad_()
y = torch.einsum("ij,jk->ik", x, w)
y.sum().backward()
print(x.grad, w.grad)
print(torch.tensordot(a, b, dims=([1], [0])).shape, torch.bmm(batch, batch.transpose(1, 2)).shape)
try:
    torch.einsum("ij,jk->ik", a, a)
except RuntimeError as error:
    print(str(error).splitlines()[0])
