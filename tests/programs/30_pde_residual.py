"""Second derivatives with grad of grad: residuals of the heat and the wave equation."""

import torch

torch.set_default_dtype(torch.float64)


def derivative(u, x):
    return torch.autograd.grad(u, x, grad_outputs=torch.ones_like(u), create_graph=True)[0]


t = torch.linspace(0.1, 1, 5).repeat_interleave(4).requires_grad_()
x = torch.linspace(0, 1, 4).repeat(5).requires_grad_()
u = torch.exp(-torch.pi**2 * t) * torch.sin(torch.pi * x)
u_t, u_x = derivative(u, t), derivative(u, x)
u_xx = derivative(u_x, x)
print(u.shape, u_xx.grad_fn is not None)
print("heat", f"{(u_t - u_xx).abs().max().item() < 1e-12}")

c = 2.0
w = torch.sin(x - c * t) + torch.cos(x + c * t)
residual = derivative(derivative(w, t), t) - c**2 * derivative(derivative(w, x), x)
print("wave", f"{residual.abs().max().item() < 1e-12}")

p = torch.tensor([[0.3, 0.4], [1.0, 2.0]], requires_grad=True)
r2 = (p**2).sum(dim=1)
phi = 0.5 * torch.log(r2)
gradient = derivative(phi, p)
laplacian = sum(derivative(gradient[:, i], p)[:, i] for i in range(2))
print(gradient)
print("Laplace", torch.allclose(laplacian, torch.zeros(2)))

curl_free = derivative(gradient[:, 0], p)[:, 1] - derivative(gradient[:, 1], p)[:, 0]
print("curl", curl_free.abs().max() < 1e-12)
z = torch.tensor(0.3, requires_grad=True)
values = [torch.tanh(z)]
for order in range(6):
    values.append(derivative(values[-1], z))
print([f"{v.item():.6f}" for v in values])
torch.set_default_dtype(torch.float32)
