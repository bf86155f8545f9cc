"""Bounds of the analysis and the constants that they ask for."""
