"""Random numbers: the CPU streams of PyTorch's `manual_seed`, reproduced bit for bit.

Read `streams` first (the generator and its draws), then `words` (the 32-bit words behind them) and `cephes` (how
words become floating-point numbers).
"""
