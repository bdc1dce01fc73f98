"""Arrays and tensors: shared memory, conversions, dtypes."""

import numpy as np
import torch

a = np.arange(4, dtype=np.float64)
t = torch.from_numpy(a)
t[0] = 10
a[1] = 20
print(a, t, t.dtype)
print(torch.tensor(a).data_ptr() == t.data_ptr(), torch.as_tensor(a).data_ptr() == t.data_ptr())
x = torch.ones(3)
n = x.numpy()
x.add_(1)
print(n, type(n), n.dtype)
np.add(n, 1, out=n)
print(x)
print(np.asarray(x), np.array(torch.eye(2)), np.sin(torch.zeros(2)), np.mean(torch.arange(4.0).numpy()))
print(torch.tensor(np.float32(2.5)), torch.tensor(np.array([[1, 2]])), torch.tensor(np.bool_(True)), torch.tensor([np.float64(1.5), 2]))
print(torch.from_numpy(np.array([1, 2], dtype=np.int32)), torch.from_numpy(np.array([True])), torch.as_tensor([1.0]))
print(x * np.float32(2), (x + a[0]).dtype, np.allclose(x, [3, 3, 3]))
g = torch.ones(2, requires_grad=True)
for convert in (lambda: g.numpy(), lambda: np.asarray(g)):
    try:
        convert()
    except RuntimeError as error:
        print(str(error).splitlines()[0])
print(g.detach().numpy(), g.detach().cpu().numpy().sum(), (g * 2).detach().numpy().tolist())
weights = np.linspace(0.01, 0.50, 5)
v = torch.zeros(3)
for i, w in enumerate(weights[:3]):
    v[i] = w
print(v, v.sum().item() == float(v.sum()), round(weights[1], 3))
values = [torch.tensor(1.5), torch.tensor(2.5)]
print(np.array(values), np.array([v.item() for v in values]).mean(), float(values[0] / values[1]))
m, c = np.polyfit(torch.arange(5.0), 2 * torch.arange(5.0) + 1, 1)
print(f"{m:.3f} {c:.3f}")
print(torch.from_numpy(np.random.RandomState(0).rand(2, 2)).round(decimals=4))
print(np.stack([torch.zeros(2), torch.ones(2)]), len(torch.zeros(3)), list(torch.arange(2)), sum(torch.arange(4)), max(torch.tensor([1, 3])))
print(torch.tensor(3).numpy(), torch.tensor(3).item().__class__, torch.arange(3).numpy()[::-1].copy())
print(isinstance(x.numpy()[0], np.float32), torch.utils.data.default_collate([np.array([1.0]), np.array([2.0])]))
