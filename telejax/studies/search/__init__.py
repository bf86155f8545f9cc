"""How many nodes should be active."""
