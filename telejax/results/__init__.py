"""What a run returns: history, models, tables, plots, files; loaded on demand, as pictures of graphs need no jax."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["plots"])
