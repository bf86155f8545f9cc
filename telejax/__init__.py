"""telejax simulates decentralized learning with thousands to hundreds of millions of nodes on one accelerator.

Its parts are imported when they are first used, so that the command line answers before jax has loaded.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
