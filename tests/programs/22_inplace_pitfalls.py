"""detach, no_grad, in-place operations: the errors people meet, by their first line."""

import torch


def attempt(title, action):
    try:
        result = action()
        print(f"{title}: fine, {result}")
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        print(f"{title}: {type(error).__name__}: {str(error).splitlines()[0]}")


def leaf():
    return torch.tensor([1.0, 2.0, 3.0], requires_grad=True)


def add_to_leaf():
    x = leaf()
    x += 1


def change_saved():
    x = leaf()
    y = x.exp()
    y.mul_(2)
    y.sum().backward()


def change_not_saved():
    x = leaf()
    y = x * 2
    y.add_(1)
    y.sum().backward()
    return x.grad


def change_view():
    x = leaf()
    y = x * 1
    y[0] = 10.0
    y.sum().backward()
    return x.grad, y.grad_fn.name()


def sigmoid_then_write():
    x = leaf()
    y = torch.sigmoid(x)
    y[1] = 0
    y.sum().backward()


def number_of():
    return float(leaf().sum()), leaf().sum().item(), int(leaf()[1])


def through_data():
    x = leaf()
    y = x**2
    x.data.zero_()
    y.sum().backward()
    return x.grad


def through_detach():
    x = leaf()
    y = x**2
    x.detach().zero_()
    y.sum().backward()


def integers():
    return torch.tensor([1, 2, 3], requires_grad=True)


def no_grad_update():
    x = leaf()
    (x**2).sum().backward()
    with torch.no_grad():
        x -= 0.1 * x.grad
    return x, x._version


def rebound():
    x = leaf()
    (x**2).sum().backward()
    x = x - 0.1 * x.grad
    return x.is_leaf, x.requires_grad


attempt("add to a leaf", add_to_leaf)
attempt("change a saved result", change_saved)
attempt("change an unsaved one", change_not_saved)
attempt("write into a view", change_view)
attempt("write into a sigmoid", sigmoid_then_write)
attempt("numbers", number_of)
attempt("numpy of a leaf", lambda: leaf().numpy())
attempt("numpy of a detached leaf", lambda: leaf().detach().numpy())
attempt("through data", through_data)
attempt("through detach", through_detach)
attempt("integers", integers)
attempt("update without grad", no_grad_update)
attempt("update by rebinding", rebound)
attempt("two elements as a number", lambda: leaf().item())
attempt("two elements as a truth value", lambda: bool(leaf() > 1))
attempt("shapes", lambda: leaf() + torch.ones(2))
attempt("matrix sizes", lambda: torch.ones(2, 3) @ torch.ones(2, 3))
attempt("index", lambda: leaf()[5])
attempt("view of a transposed matrix", lambda: torch.ones(2, 3).t().view(6))
attempt("reshape", lambda: torch.ones(2, 3).reshape(4))
attempt("cat", lambda: torch.cat([torch.ones(2, 3), torch.ones(2, 2)]))
attempt("stack", lambda: torch.stack([torch.ones(2), torch.ones(3)]))
attempt("dtype", lambda: torch.ones(2, 2) @ torch.ones(2, dtype=torch.float64))
attempt("dim", lambda: torch.ones(2, 2).sum(dim=2))
attempt("squeeze", lambda: torch.ones(2, 1).squeeze(1).shape)
attempt("mean of integers", lambda: torch.arange(4).mean())
