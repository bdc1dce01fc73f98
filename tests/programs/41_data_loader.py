"""Dataset, TensorDataset and DataLoader in a training loop."""

import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset


class Squares(Dataset):
    def __init__(self, n):
        self.x = torch.arange(n, dtype=torch.float32)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return {"x": self.x[i], "y": self.x[i] ** 2, "name": f"item {i}"}


for batch in DataLoader(Squares(5), batch_size=2):
    print(batch)
torch.manual_seed(0)
print([b["x"].tolist() for b in DataLoader(Squares(6), batch_size=4, shuffle=True)])
print([b["x"].tolist() for b in DataLoader(Squares(6), batch_size=4, drop_last=True)])
print(len(ConcatDataset([Squares(2), Squares(3)])), Subset(Squares(9), [8, 1])[0]["x"])

X = torch.linspace(-1, 1, 40).unsqueeze(1)
Y = 2 * X + 1
dataset = TensorDataset(X, Y)
print(len(dataset), dataset[0])
loader = DataLoader(dataset, batch_size=16, shuffle=True, generator=torch.Generator().manual_seed(1))
model = torch.nn.Linear(1, 1)
with torch.no_grad():
    model.weight.zero_()
    model.bias.zero_()
opt = torch.optim.SGD(model.parameters(), lr=0.3)
for epoch in range(8):
    running = 0.0
    for i, (inputs, labels) in enumerate(loader, 1):
        opt.zero_grad()
        loss = torch.nn.functional.mse_loss(model(inputs), labels)
        loss.backward()
        opt.step()
        running += loss.item()
    print(f"[{epoch + 1}, {i}] loss: {running / i:.4f}")
print(f"{model.weight.item():.2f} {model.bias.item():.2f}")


def collate(items):
    return torch.stack([d["x"] for d in items]).sum(), [d["name"] for d in items]


print(next(iter(DataLoader(Squares(3), batch_size=3, collate_fn=collate))))
it = iter(DataLoader([1.5, 2.5, 3.5]))
print(next(it), next(it))
