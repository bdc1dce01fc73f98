"""Lane programs as LLVM text: `kernel` (the function), `values` (ops), `loops`, `draws`, `vary` (what differs
between lanes). Read `kernel`.
"""
