"""gradcheck says that the Jacobians differ; in what?"""
# ask: error
# says: Jacobian mismatch
# ask: diagnose(None, Scale.apply(x, w).sum(), w)
# says: the sum over them is missing
# error: GradcheckError

import torch


class Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x * w

    @staticmethod
    def backward(ctx, grad):
        x, w = ctx.saved_tensors
        return grad * w, (grad * x)[0]


x = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], dtype=torch.float64, requires_grad=True)
w = torch.tensor([0.5, -1.0], dtype=torch.float64, requires_grad=True)
torch.autograd.gradcheck(Scale.apply, (x, w))
