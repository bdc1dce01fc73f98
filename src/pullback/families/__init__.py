"""How each family of ops derives the facets of its entries. Read `op` first, then `elementwise`.

May import `graph`, `dtypes` and `errors`; never `ops`.
"""
