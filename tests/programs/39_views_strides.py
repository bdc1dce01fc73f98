"""Views share memory; strides tell how."""

import torch

x = torch.arange(12)
v = x.view(3, 4)
v[0, 0] = 100
print(x[0], v.stride(), v.t().stride(), v.t().is_contiguous(), v.t().contiguous().stride())
print(v.storage_offset(), v[1:, 2:].storage_offset(), v[1:, 2:].stride(), v[::2].stride())
print(v._base is x, x._base, v.data_ptr() == x.data_ptr(), v[1].data_ptr() - x.data_ptr())
try:
    v.t().view(-1)
except RuntimeError as error:
    print(str(error).splitlines()[0])
print(v.t().reshape(-1))
print(torch.as_strided(x, (3, 3), (1, 2)))
print(x.unsqueeze(0).shape, x.view(1, 12, 1).squeeze().shape, v.permute(1, 0).shape, v.transpose(0, 1)[0])
print(v.flatten().shape, v.ravel().data_ptr() == v.data_ptr(), torch.movedim(torch.zeros(2, 3, 4), 0, -1).shape)
e = torch.zeros(2, 1).expand(2, 3)
print(e.stride(), e.clone().stride(), e.contiguous().is_contiguous())
c = v.clone()
c += 1
print(torch.equal(c, v + 1), c.data_ptr() == v.data_ptr())

w = torch.zeros(2, 2, requires_grad=True)
u = w * 1
row = u[0]
row.add_(5)
print(u)
(u**2).sum().backward()
print(w.grad, u._version, row._version)
first, second = torch.arange(6.0).chunk(2)
first.zero_()
print(first, second, first._base)
print(torch.arange(6).view(2, -1).view(-1, 1).shape, torch.zeros(2, 3).view(torch.int32).dtype)
h = torch.hstack([torch.ones(2), torch.zeros(1)])
print(h, torch.vstack([h, h]).shape, torch.column_stack([h, h]).shape, torch.dstack([h, h]).shape)
print(torch.zeros(3).element_size(), torch.zeros(3).nbytes, v.numel(), v.ndim, v.dim(), v.nelement())
print(x.unbind()[1], v.unbind(1)[3], [t.tolist() for t in v.split(2)])
print(v.T.shape, torch.zeros(2, 3, 4).mT.shape, v.H.shape if v.is_complex() else "real")
