"""Default dtype, promotion, conversions, limits."""

import torch

print(torch.get_default_dtype(), torch.tensor(1.5).dtype, torch.tensor(1).dtype, torch.zeros(1).dtype)
torch.set_default_dtype(torch.float64)
print(torch.tensor(1.5), torch.zeros(2), torch.arange(3.0).dtype, torch.nn.Linear(1, 1).weight.dtype)
print(torch.tensor([1.5], dtype=torch.float32), torch.tensor([1j]).dtype)
torch.set_default_dtype(torch.float32)
print(torch.tensor(1.5), torch.tensor([1j]).dtype)

i, f, d, b = torch.tensor([1, 2]), torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0], dtype=torch.float64), torch.tensor([True, False])
for x, y in ((i, f), (f, d), (i, b), (b, b), (i, 1), (i, 1.0), (f, 1), (d, 1j), (f, torch.tensor(1.0, dtype=torch.float64))):
    print((x + y).dtype, torch.result_type(x, y))
print(i / 2, i // 2, i % 2, -i, i**2, i**-1.0, 2**i, ~b, b & True, i << 1)
print(torch.tensor(7) // 2, torch.tensor(-7) // 2, torch.tensor(-7) % 3, torch.fmod(torch.tensor(-7), 3), torch.tensor(7.5) // 2)
print(f.int(), f.long(), i.float(), d.half(), f.bool(), b.float(), f.to(torch.int8), i.type(torch.float64), f.double().type())
print(torch.finfo(torch.float32).eps, torch.finfo(torch.float64).max, torch.iinfo(torch.int8).min)
print(torch.can_cast(torch.float32, torch.int32), torch.promote_types(torch.int32, torch.float16))
print(torch.tensor([300]).to(torch.uint8), torch.tensor([2.7, -2.7]).long(), torch.tensor([2.5, 3.5, -0.5]).round())
x = torch.ones(2, dtype=torch.float32, requires_grad=True)
y = x.double() * 2
y.sum().backward()
print(y.dtype, x.grad.dtype, x.grad)
print(torch.is_tensor(x), isinstance(x, torch.Tensor), x.is_floating_point(), type(x), x.type())
print(0.1 + 0.2, (torch.tensor(0.1) + torch.tensor(0.2)).item(), torch.tensor(16777216.0) + 1)
for value in (float("nan"), float("inf")):
    t = torch.tensor([1.0, value])
    print(t.isnan(), t.isinf(), t.sum(), t.max(), torch.nan_to_num(t, posinf=9.0))
try:
    f.add_(torch.tensor([1j]))
except RuntimeError as error:
    print(str(error).splitlines()[0])
try:
    i += 1.5
except RuntimeError as error:
    print(str(error).splitlines()[0])
