"""One gradient per sample."""
# ask: per_sample(loss_of, w, samples)
# says: gradients of 6 samples
# says: norm of the mean
# says: standard error
# ask: per_sample(loss_of, w, samples).gradients.shape
# says: [6, 2]

import torch

torch.manual_seed(3)
w = torch.tensor([0.5, -0.2], requires_grad=True)
samples = torch.randn(6, 2)


def loss_of(w, x):
    return (torch.sigmoid((w * x).sum()) - 1.0) ** 2


each_sample = torch.func.vmap(torch.func.grad(loss_of), in_dims=(None, 0))(w.detach(), samples)
print(each_sample.shape)
