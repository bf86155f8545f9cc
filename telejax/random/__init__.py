"""Keyed draws whose cost does not grow with the number of nodes: distinct nodes, normal numbers, permutations."""
