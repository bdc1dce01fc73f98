"""A character bigram model: counts, one-hot with a weight matrix, an embedding."""

import torch
import torch.nn.functional as F

words = "anna hannah emma ava bob otto elle nan ada noon".split()
chars = sorted(set("".join(words)))
stoi = {s: i + 1 for i, s in enumerate(chars)}
stoi["."] = 0
itos = {i: s for s, i in stoi.items()}
V = len(stoi)
print(V, stoi)

N = torch.zeros((V, V), dtype=torch.int32)
xs, ys = [], []
for w in words:
    chs = ["."] + list(w) + ["."]
    for c1, c2 in zip(chs, chs[1:]):
        N[stoi[c1], stoi[c2]] += 1
        xs.append(stoi[c1])
        ys.append(stoi[c2])
print(N)
P = (N + 1).float()
P /= P.sum(1, keepdim=True)
print(P[0])
xs, ys = torch.tensor(xs), torch.tensor(ys)
print(f"nll of the counts {-P[xs, ys].log().mean():.4f}")

g = torch.Generator().manual_seed(2147483647)
for _ in range(3):
    out, ix = [], 0
    while True:
        ix = torch.multinomial(P[ix], num_samples=1, replacement=True, generator=g).item()
        if ix == 0:
            break
        out.append(itos[ix])
    print("".join(out))

W = torch.randn((V, V), generator=g, requires_grad=True)
xenc = F.one_hot(xs, num_classes=V).float()
print(xenc.shape, xenc.dtype, xenc[0])
for k in range(60):
    logits = xenc @ W
    counts = logits.exp()
    probs = counts / counts.sum(1, keepdims=True)
    loss = -probs[torch.arange(len(xs)), ys].log().mean() + 0.01 * (W**2).mean()
    W.grad = None
    loss.backward()
    W.data += -10 * W.grad
    if k % 20 == 0:
        print(k, f"{loss.item():.3f}")

embedding = torch.nn.Embedding(V, V)
embedding.weight.data.zero_()
optimizer = torch.optim.SGD(embedding.parameters(), lr=10)
for k in range(60):
    loss = F.cross_entropy(embedding(xs), ys)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(embedding, f"{loss.item():.3f}")
