"""model.train() and model.eval(): dropout, batch norm, freezing, parameter groups, containers."""

import torch
from torch import nn

torch.manual_seed(0)
drop = nn.Dropout(0.5)
x = torch.ones(2, 4)
print(drop(x))
print(drop.eval()(x), drop.training)

bn = nn.BatchNorm1d(2)
data = torch.tensor([[1.0, 10.0], [2.0, 20.0], [6.0, 35.0]])
print(bn(data).detach())
print(bn.running_mean, bn.running_var, bn.num_batches_tracked)
bn.eval()
print(bn(data).detach())
print(nn.LayerNorm(4)(torch.arange(8.0).view(2, 4)).detach().round(decimals=4))

net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.GELU(), nn.Dropout(0.2), nn.Linear(4, 2))
print([m.training for m in net.modules()], [m.training for m in net.eval().modules()])
print(net[0], net[-1].out_features, len(net), net[1:3])
for p in net[0].parameters():
    p.requires_grad = False
net.train()
net(torch.randn(5, 3)).sum().backward()
print([(n, p.grad is None) for n, p in net.named_parameters()])
print(sum(p.numel() for p in net.parameters() if p.requires_grad), sum(p.numel() for p in net.parameters()))


def init(m):
    if isinstance(m, nn.Linear):
        nn.init.constant_(m.weight, 0.1)
        nn.init.zeros_(m.bias)


net.apply(init)
print(net[0].weight[0], net[4].bias)
d = nn.ModuleDict({"a": nn.Linear(1, 1), "b": nn.ReLU()})
l = nn.ModuleList([nn.Identity(), nn.Tanh()])
print(d, list(d.keys()), l[1])
pl = nn.ParameterList([nn.Parameter(torch.zeros(2)), nn.Parameter(torch.ones(1))])
print(len(list(pl.parameters())), [type(m).__name__ for m in net.children()])
print(net.double()[0].weight.dtype, next(net.parameters()).dtype)
torch.manual_seed(0)
w = torch.empty(2, 3)
print(nn.init.xavier_uniform_(w), nn.init.kaiming_normal_(w, nonlinearity="relu"), nn.init.normal_(w, 0, 0.02))
try:
    net(torch.randn(5, 4))
except RuntimeError as error:
    print(str(error).splitlines()[0])
try:
    nn.Linear(3, 2)(torch.randn(5, 4))
except RuntimeError as error:
    print(str(error).splitlines()[0])
