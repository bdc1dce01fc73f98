"""state_dict, torch.save and torch.load, to memory and to a file."""

import io
import os
import tempfile

import torch
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 3)
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, x):
        return self.scale * self.norm(torch.relu(self.layer(x)))


torch.manual_seed(0)
model = Model()
for key, value in model.state_dict().items():
    print(f"{key:26s} {str(tuple(value.shape)):8s} {value.dtype}")
x = torch.randn(4, 2)
model(x).sum().backward()
model.eval()
expected = model(x)

buffer = io.BytesIO()
torch.save(model.state_dict(), buffer)
buffer.seek(0)
other = Model()
print(other.load_state_dict(torch.load(buffer)))
other.eval()
print(torch.equal(other(x), expected))

optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
optimizer.step()
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "checkpoint.pt")
    torch.save({"epoch": 3, "model": model.state_dict(), "optimizer": optimizer.state_dict(), "loss": 0.25}, path)
    checkpoint = torch.load(path, weights_only=True)
print(sorted(checkpoint), checkpoint["epoch"], checkpoint["loss"])
other.load_state_dict(checkpoint["model"])
restored = torch.optim.Adam(other.parameters(), lr=1.0)
restored.load_state_dict(checkpoint["optimizer"])
print(restored.param_groups[0]["lr"], sorted(restored.state_dict()["state"]))
print(torch.equal(other.layer.weight, model.layer.weight), other.layer.weight.requires_grad)

try:
    other.load_state_dict({"layer.weight": torch.zeros(3, 2)})
except RuntimeError as error:
    print(str(error).splitlines()[0])
print(other.load_state_dict({"scale": torch.tensor(3.0)}, strict=False).missing_keys[:2], other.scale)

whole = io.BytesIO()
t = torch.arange(6.0).view(2, 3)
torch.save([t, t[0], {"a": t.t()}], whole)
whole.seek(0)
a, b, c = torch.load(whole)
a[0, 0] = 100
print(b, c["a"].stride(), torch.load(io.BytesIO(whole.getvalue()))[0][0])
leaf = torch.ones(2, requires_grad=True)
f = io.BytesIO()
torch.save(leaf, f)
f.seek(0)
print(torch.load(f), nn.Parameter(leaf).requires_grad)
