"""What all tests are strict about, the doctests of the package too: jax adds no axes by itself."""

import os

os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
"""Before jax is imported, for the processes that tests start too; users' own code is not forced into it."""
