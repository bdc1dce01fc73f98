"""Where torch says that its classes live, so that `print(type(x))` reads the same here.

Read `HOMES` first: the module that torch's class names in `__module__` -> the names of those classes, by the
room in which they are found. Only applied while torch is replaced. May import: nothing of the package.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Protocol

# room -> {torch's module: class names}
HOMES: dict[str, dict[str, str]] = {
    "": {
        "torch": "Tensor Size device dtype",
        "torch._C": "Generator",
    },
    "nn": {
        "torch.nn.parameter": "Parameter",
        "torch.nn.modules.module": "Module",
        "torch.nn.modules.linear": "Linear Identity Bilinear",
        "torch.nn.modules.activation": (
            "ReLU ReLU6 LeakyReLU PReLU ELU SELU CELU GELU SiLU Mish Sigmoid LogSigmoid Tanh Tanhshrink "
            "Softplus Softsign Softmax LogSoftmax Softmin Hardtanh Hardsigmoid Hardswish Hardshrink "
            "Softshrink Threshold GLU"
        ),
        "torch.nn.modules.container": "Sequential ModuleList ModuleDict ParameterList ParameterDict",
        "torch.nn.modules.conv": "Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d",
        "torch.nn.modules.dropout": "Dropout Dropout1d Dropout2d AlphaDropout",
        "torch.nn.modules.flatten": "Flatten Unflatten",
        "torch.nn.modules.batchnorm": "BatchNorm1d BatchNorm2d BatchNorm3d",
        "torch.nn.modules.normalization": "LayerNorm GroupNorm RMSNorm",
        "torch.nn.modules.sparse": "Embedding EmbeddingBag",
        "torch.nn.modules.pooling": (
            "MaxPool1d MaxPool2d AvgPool1d AvgPool2d AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveMaxPool2d"
        ),
        "torch.nn.modules.rnn": "RNN LSTM GRU RNNCell LSTMCell GRUCell",
        "torch.nn.modules.loss": (
            "L1Loss MSELoss CrossEntropyLoss NLLLoss BCELoss BCEWithLogitsLoss SmoothL1Loss HuberLoss "
            "KLDivLoss HingeEmbeddingLoss CosineEmbeddingLoss MarginRankingLoss "
            "PoissonNLLLoss GaussianNLLLoss"
        ),
    },
    "optim": {
        "torch.optim.optimizer": "Optimizer",
        "torch.optim.sgd": "SGD",
        "torch.optim.adam": "Adam",
        "torch.optim.adamw": "AdamW",
        "torch.optim.rmsprop": "RMSprop",
        "torch.optim.adagrad": "Adagrad",
    },
    "autograd": {"torch.autograd.function": "Function"},
    "utils.data": {
        "torch.utils.data.dataset": (
            "Dataset IterableDataset TensorDataset StackDataset ConcatDataset ChainDataset Subset"
        ),
        "torch.utils.data.sampler": (
            "Sampler SequentialSampler RandomSampler SubsetRandomSampler WeightedRandomSampler BatchSampler"
        ),
        "torch.utils.data.dataloader": "DataLoader",
    },
}


class Finds(Protocol):
    """What can look up a name in a room."""

    def find(self, path: str, name: str) -> tuple[Any, bool]:
        """The object and whether it may be remembered."""
        ...


def classes_at_home(rooms: Finds, path: str) -> list[tuple[type, str]]:
    """Give the classes of a room torch's `__module__`; those changed, each with what it had before."""
    changed: list[tuple[type, str]] = []
    for home, names in HOMES.get(path, {}).items():
        for name in names.split():
            cls = rooms.find(path, name)[0]
            # a class under a second name (an alias) keeps its own
            if isinstance(cls, type) and cls.__name__ == name:
                before = cls.__module__
                with suppress(TypeError):  # a class written in C keeps its name
                    cls.__module__ = home
                    changed.append((cls, before))
    return changed
