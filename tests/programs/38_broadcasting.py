"""Broadcasting: shapes, and how gradients are summed back."""

import torch

a = torch.tensor([[1.0], [2.0], [3.0]])
b = torch.tensor([10.0, 20.0])
print((a + b), (a + b).shape)
for s, t in (((3, 1), (2,)), ((2, 3, 1), (3, 5)), ((1,), (4, 4)), ((5, 1, 4), (1, 3, 1)), ((), (2, 2)), ((0,), (1,))):
    print(s, t, tuple(torch.broadcast_shapes(s, t)), tuple((torch.ones(s) * torch.ones(t)).shape))
try:
    torch.ones(3, 2) + torch.ones(3)
except RuntimeError as error:
    print(str(error).splitlines()[0])
x = torch.ones(3, 1, requires_grad=True)
y = torch.ones(1, 4, requires_grad=True)
s = torch.tensor(2.0, requires_grad=True)
out = (x * y * s).sum()
out.backward()
print(x.grad, y.grad, s.grad)
print(x.grad.shape == x.shape, y.grad.shape == y.shape)

data = torch.arange(12.0).reshape(4, 3)
centred = data - data.mean(dim=0)
print(centred, centred.std(dim=0, unbiased=False))
distance = (data[:, None, :] - data[None, :, :]).pow(2).sum(-1).sqrt()
print(distance)

print(torch.arange(3) + torch.arange(3).unsqueeze(1))
print(a.expand(3, 4), a.expand(3, 4).stride(), b.repeat(2, 2), torch.broadcast_to(b, (2, 2)))
print(torch.maximum(a, b), a > b, (a == a.T).int())
i, j = torch.meshgrid(torch.arange(2), torch.arange(3), indexing="ij")
print(i * 10 + j, torch.cartesian_prod(torch.tensor([1, 2]), torch.tensor([3, 4])).tolist())
print((torch.ones(2, dtype=torch.int32) + 1.5).dtype, (torch.ones(2) * torch.ones(2, dtype=torch.float64)).dtype,
      (torch.arange(3) / 2).dtype, (torch.tensor(True) + 1).dtype)
z = torch.zeros(2, 3)
z += torch.arange(3)
print(z)
try:
    z += torch.ones(4, 2, 3)
except RuntimeError as error:
    print(str(error).splitlines()[0])
