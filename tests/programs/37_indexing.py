"""Indexing: slices, masks, lists, gather and scatter, and their gradients."""

import torch

x = torch.arange(12).reshape(3, 4)
print(x[0], x[-1, -1], x[:, 1], x[1:, ::2])
print(x[[0, 2]], x[[0, 1], [1, 3]], x[torch.tensor([2, 0])][:, [3]])
print(x[x > 6], (x % 2 == 0).nonzero().tolist())
print(x[..., 0], x[None].shape, x[:, None, :].shape, x[1, ..., None])
rows, columns = torch.where(x > 8)
print(rows, columns)
y = x.clone()
y[y > 8] = -1
y[0] = torch.tensor([9, 9, 9, 9])
y[:, 2] += 100
print(y)
print(torch.gather(x, 1, torch.tensor([[0], [1], [3]])), x.gather(0, torch.tensor([[2, 1, 0, 0]])))
print(torch.zeros(3, 4, dtype=torch.long).scatter_(1, torch.tensor([[1], [0], [3]]), 7))
print(torch.zeros(3).index_add_(0, torch.tensor([0, 2, 0]), torch.tensor([1.0, 2.0, 3.0])))
print(x.index_select(1, torch.tensor([3, 0])), torch.take(x, torch.tensor([0, 5, 11])))
print(torch.masked_select(x, x < 3), x.masked_fill(x < 6, 0))
print(x.flip(0), x.roll(1, dims=1), torch.rot90(x).shape)
print(x.diagonal(), torch.triu(x), x.unfold(1, 2, 1)[0])
values, indices = torch.tensor([3.0, 1.0, 2.0]).topk(2)
print(values, indices, torch.argsort(torch.tensor([3, 1, 2])), torch.unique(torch.tensor([2, 1, 2, 3, 1]), return_counts=True))

w = torch.arange(6.0, requires_grad=True)
w[[0, 0, 3]].sum().backward()
print(w.grad)
w.grad = None
m = w.reshape(2, 3)
m[:, 1:].prod().backward()
print(w.grad)
w.grad = None
torch.where(w > 2, w**2, torch.zeros(())).sum().backward()
print(w.grad)
w.grad = None
w.sort(descending=True).values[:2].sum().backward()
print(w.grad)
a, b, *rest = w.detach()
print(a, b, len(rest), [int(v) for v in rest], w.detach().split([1, 2, 3])[2])
for row in x:
    print(row.tolist(), end=" ")
print(3 in x, len(x), x[1].sum().item())
