"""Transforms of recorded computations: `forward` (tangents along the record) and `batch` (vmap's lanes).

Read `forward` first. May import `families`, `graph`, `ops`, `autograd.engine`.
"""
