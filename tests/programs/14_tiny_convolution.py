"""Convolution on tiny images: by hand, with windows, with F.conv2d, with nn.Conv2d, and what its gradient is."""

import torch
import torch.nn as nn
import torch.nn.functional as F

image = torch.arange(16.0).reshape(1, 1, 4, 4)
edge = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]).view(1, 1, 3, 3)
print(image)
print(F.conv2d(image, edge))
print(F.conv2d(image, edge, padding=1)[0, 0])
print(F.conv2d(image, edge, stride=2, padding=1).shape)

by_hand = torch.zeros(2, 2)
for i in range(2):
    for j in range(2):
        by_hand[i, j] = (image[0, 0, i : i + 3, j : j + 3] * edge[0, 0]).sum()
print(torch.equal(by_hand, F.conv2d(image, edge)[0, 0]))
windows = image.unfold(2, 3, 1).unfold(3, 3, 1)
print(windows.shape, (windows * edge).sum(dim=(-1, -2)))

image.requires_grad_()
kernel = edge.clone().requires_grad_()
out = F.conv2d(image, kernel)
out.sum().backward()
print(image.grad[0, 0])
print(kernel.grad[0, 0])
print(type(out.grad_fn).__name__)

print(F.max_pool2d(image, 2), F.avg_pool2d(image.detach(), 2))
(g,) = torch.autograd.grad(F.max_pool2d(image, 2).sum(), image)
print(g)

torch.manual_seed(0)
net = nn.Sequential(
    nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 2)
)
print(net)
y = net(torch.randn(3, 1, 4, 4))
print(y.shape)
F.cross_entropy(y, torch.tensor([0, 1, 1])).backward()
print([tuple(p.grad.shape) for p in net.parameters()])
print(net[1].num_batches_tracked, net[1].running_var.shape)
