"""What one asks of many simulations."""
