"""What is recorded: tensors, nodes, modes and versions. Read `node` first, then `tensor`.

Imports nothing above `dtypes`.
"""
