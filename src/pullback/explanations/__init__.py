"""Why each gradient is what it is: causes, paths, diagnosis of hand-made gradients, flow, drawings, kinks.

Read `api` first, then `links` (one entry of a local Jacobian), `sweeps` and `report`. Everything here reads
the record that `backward` reads; nothing is guessed. May import everything below `plot`.
"""
