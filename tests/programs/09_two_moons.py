"""Two moons with mini-batches, a held-out set and early stopping."""

import math

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


def make_moons(n, noise, generator):
    half = n // 2
    angle = torch.linspace(0, math.pi, half)
    outer = torch.stack([torch.cos(angle), torch.sin(angle)], 1)
    inner = torch.stack([1 - torch.cos(angle), 0.5 - torch.sin(angle)], 1)
    X = torch.cat([outer, inner]) + noise * torch.randn(n, 2, generator=generator)
    y = torch.cat([torch.zeros(half), torch.ones(half)]).long()
    return X, y


g = torch.Generator().manual_seed(0)
X, y = make_moons(200, 0.1, g)
train, valid = random_split(TensorDataset(X, y), [160, 40], generator=g)
loader = DataLoader(train, batch_size=32, shuffle=True, generator=g)
print(len(train), len(valid), len(loader))

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2))
print(model)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.02, weight_decay=1e-3)
criterion = nn.CrossEntropyLoss()
best, patience = float("inf"), 0
Xv = torch.stack([item[0] for item in valid])
yv = torch.stack([item[1] for item in valid])
for epoch in range(30):
    model.train()
    total = 0.0
    for xb, yb in loader:
        optimizer.zero_grad()
        loss = criterion(model(xb), yb)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(xb)
    model.eval()
    with torch.no_grad():
        logits = model(Xv)
        score = criterion(logits, yv).item()
        accuracy = (logits.argmax(1) == yv).float().mean()
    if epoch % 5 == 0:
        print(f"epoch {epoch:2d} train {total / len(train):.3f} valid {score:.3f} accuracy {accuracy:.3f}")
    if score < best - 1e-4:
        best, patience = score, 0
    else:
        patience += 1
        if patience == 5:
            print("stopped early")
            break
print(model.training, accuracy.item() > 0.9)
