"""Every combination of the values in a file."""
