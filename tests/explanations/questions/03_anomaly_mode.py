"""Which operation made the nan?"""
# ask: error
# says: it began at sqrt
# says: the local derivative is inf, the upstream 2
# says: inf
# error: RuntimeError

import torch

torch.autograd.set_detect_anomaly(True)
try:
    v = torch.zeros(3, requires_grad=True)
    norm = torch.sqrt((v * v).sum())  # named
    (norm * 2.0).backward()
    print(v.grad)
finally:
    torch.autograd.set_detect_anomaly(False)
