"""pullback in torch's place: `pullback run FILE`, the rooms it answers with, and texts about missing names.

Read `rooms` first (how `import torch` is answered), then `program` and `notebook` (how a file is run). Light
on purpose: `pullback/__init__` imports `missing` from here. May import: `hints`, and `rooms` below it.
"""

from pullback.compat.hints import missing
from pullback.compat.rooms import torch_replaced

__all__ = ["missing", "torch_replaced"]
