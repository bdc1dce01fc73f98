"""A Function of one's own: the backward forgets the factor 2."""
# ask: diagnose(None, loss, x)
# says: constant factor
# says: Square

import torch


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * x


x = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64, requires_grad=True)
loss = Square.apply(x).sum()  # named
print(loss.item())
