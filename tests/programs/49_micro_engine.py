"""A scalar autograd engine in plain Python, tested against torch."""

import math

import torch


class Value:
    def __init__(self, data, children=()):
        self.data, self.grad = data, 0.0
        self._prev, self._backward = set(children), lambda: None

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data + other.data, (self, other))

        def _backward():
            self.grad += out.grad
            other.grad += out.grad

        out._backward = _backward
        return out

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data * other.data, (self, other))

        def _backward():
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad

        out._backward = _backward
        return out

    def tanh(self):
        t = math.tanh(self.data)
        out = Value(t, (self,))

        def _backward():
            self.grad += (1 - t**2) * out.grad

        out._backward = _backward
        return out

    def backward(self):
        topo, seen = [], set()

        def build(v):
            if v not in seen:
                seen.add(v)
                for child in v._prev:
                    build(child)
                topo.append(v)

        build(self)
        self.grad = 1.0
        for v in reversed(topo):
            v._backward()


def neuron(x1, x2, w1, w2, b):
    return (x1 * w1 + x2 * w2 + b).tanh()


numbers = [2.0, 0.0, -3.0, 1.0, 6.8813735870195432]
mine = [Value(v) for v in numbers]
o = neuron(*mine)
o.backward()
theirs = [torch.Tensor([v]).double() for v in numbers]
for t in theirs:
    t.requires_grad = True
p = neuron(*theirs)
p.backward()
print(p.data.item(), p.item() == o.data or abs(p.item() - o.data) < 1e-15)
for name, a, t in zip(("x1", "x2", "w1", "w2", "b"), mine, theirs):
    print(f"{name}: {a.grad:+.6f} {t.grad.item():+.6f}")
print(torch.Tensor([[1, 2, 3], [4, 5, 6]]).shape, torch.Tensor([2.0]).dtype, torch.Tensor(2, 3).shape)
