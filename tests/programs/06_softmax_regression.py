"""Softmax regression on three blobs, with the gradient of the logits checked by hand."""

import torch
from torch import nn

torch.manual_seed(7)
centres = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 3.0]])
labels = torch.arange(3).repeat_interleave(30)
points = centres[labels] + 0.7 * torch.randn(90, 2)
print(points.shape, labels.shape, labels.bincount())

model = nn.Sequential(nn.Linear(2, 3))
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
for epoch in range(51):
    logits = model(points)
    loss = loss_fn(logits, labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if epoch % 10 == 0:
        accuracy = (logits.argmax(dim=1) == labels).float().mean().item()
        print(f"epoch {epoch:2d}  loss {loss.item():.4f}  accuracy {accuracy:.3f}")

logits = model(points[:3]).detach().requires_grad_()
loss = loss_fn(logits, labels[:3])
loss.backward()
by_hand = (torch.softmax(logits, 1) - torch.eye(3)[labels[:3]]) / 3
print(torch.allclose(logits.grad, by_hand, atol=1e-6))
manual = -torch.log_softmax(logits, 1)[torch.arange(3), labels[:3]].mean()
print(torch.isclose(manual, loss))
weights = torch.tensor([1.0, 2.0, 0.5])
print(f"{nn.CrossEntropyLoss(weight=weights, label_smoothing=0.1)(logits, labels[:3]):.4f}")
print(nn.CrossEntropyLoss(reduction='none')(torch.zeros(2, 4), torch.tensor([0, 3])))
print(nn.NLLLoss()(torch.log(torch.full((2, 4), 0.25)), torch.tensor([1, 2])))
