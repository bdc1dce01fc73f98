"""Learning rate schedulers, step by step."""

import torch
from torch.optim import SGD
from torch.optim import lr_scheduler as S


def rates(make, steps=8, metric=None):
    p = torch.nn.Parameter(torch.zeros(1))
    opt = SGD([p], lr=1.0)
    scheduler = make(opt)
    out = []
    for i in range(steps):
        out.append(opt.param_groups[0]["lr"])
        opt.step()
        scheduler.step(*([] if metric is None else [metric(i)]))
    return [round(v, 4) for v in out]


print("StepLR     ", rates(lambda o: S.StepLR(o, 3, gamma=0.1)))
print("MultiStep  ", rates(lambda o: S.MultiStepLR(o, [2, 5], gamma=0.5)))
print("Exponential", rates(lambda o: S.ExponentialLR(o, 0.9)))
print("Cosine     ", rates(lambda o: S.CosineAnnealingLR(o, T_max=8)))
print("Lambda     ", rates(lambda o: S.LambdaLR(o, lambda e: 1 / (1 + e))))
print("Plateau    ", rates(lambda o: S.ReduceLROnPlateau(o, patience=1), metric=lambda i: 1.0))

p = torch.nn.Parameter(torch.tensor([2.0]))
opt = SGD([{"params": [p], "lr": 0.5}], lr=0.1, momentum=0.9, nesterov=True)
scheduler = S.ExponentialLR(opt, gamma=0.5)
for epoch in range(4):
    opt.zero_grad()
    loss = (p**2).sum()
    loss.backward()
    opt.step()
    scheduler.step()
    print(epoch, f"{loss.item():.4f}", scheduler.get_last_lr(), f"{p.item():.4f}")
print(opt)
for name in ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad"):
    q = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    o = getattr(torch.optim, name)([q], lr=0.1)
    for _ in range(3):
        o.zero_grad()
        (q**2).sum().backward()
        o.step()
    print(f"{name:8s}", [f"{v:.4f}" for v in q.tolist()])
