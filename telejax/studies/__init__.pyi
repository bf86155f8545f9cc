from . import advice as advice
from . import theory as theory

__all__ = ["advice", "theory"]
