"""What the nodes compute.

Its parts are imported when they are first used: only classification needs flax and the data sets.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
