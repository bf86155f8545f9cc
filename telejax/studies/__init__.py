"""What one asks of many simulations: comparisons, searches, sweeps, theory."""

from telejax.studies import theory

__all__ = ["theory"]
