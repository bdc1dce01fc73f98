"""A two-layer network in NumPy style: forward and backward written out, then checked."""

import torch

torch.manual_seed(0)
N, D_in, H, D_out = 16, 8, 6, 3
x, y = torch.randn(N, D_in), torch.randn(N, D_out)
w1, w2 = torch.randn(D_in, H), torch.randn(H, D_out)
learning_rate = 1e-3
for t in range(60):
    h = x.mm(w1)
    h_relu = h.clamp(min=0)
    y_pred = h_relu.mm(w2)
    loss = (y_pred - y).pow(2).sum().item()
    if t % 20 == 0:
        print(t, f"{loss:.2f}")
    grad_y_pred = 2.0 * (y_pred - y)
    grad_w2 = h_relu.t().mm(grad_y_pred)
    grad_h_relu = grad_y_pred.mm(w2.t())
    grad_h = grad_h_relu.clone()
    grad_h[h < 0] = 0
    grad_w1 = x.t().mm(grad_h)
    w1 -= learning_rate * grad_w1
    w2 -= learning_rate * grad_w2

a, b = w1.clone().requires_grad_(), w2.clone().requires_grad_()
loss = (torch.clamp(x @ a, min=0) @ b - y).pow(2).sum()
loss.backward()
h = x @ w1
gy = 2 * (h.clamp(min=0) @ w2 - y)
print(torch.allclose(b.grad, h.clamp(min=0).T @ gy, atol=1e-4), torch.allclose(a.grad, x.T @ ((gy @ w2.T) * (h > 0)), atol=1e-4))


class MyReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input):
        ctx.save_for_backward(input)
        return input.clamp(min=0)

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        grad_input = grad_output.clone()
        grad_input[input < 0] = 0
        return grad_input


a.grad = b.grad = None
(MyReLU.apply(x.mm(a)).mm(b) - y).pow(2).sum().backward()
print(torch.allclose(a.grad, x.T @ ((gy @ w2.T) * (h > 0)), atol=1e-4), f"{b.grad.norm().item():.2f}")
for t in range(3):
    relu = MyReLU.apply
    loss = (relu(x.mm(a)).mm(b) - y).pow(2).sum()
    print(t, f"{loss.item():.2f}")
    loss.backward()
    with torch.no_grad():
        a -= learning_rate * a.grad
        b -= learning_rate * b.grad
        a.grad.zero_()
        b.grad.zero_()
