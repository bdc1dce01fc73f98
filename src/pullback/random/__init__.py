"""Random numbers: the CPU streams of PyTorch's `manual_seed`, reproduced bit for bit.

Read `streams` first (the generator and its draws), then `numbers` (rand and randn, computed ahead), `words`
(the 32-bit words behind them), `cephes` (how words become floating-point numbers) and `ranges` (what is
accepted).
"""
