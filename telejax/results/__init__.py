"""What a run returns: history, models, tables, plots, files. Empty, so that pictures of graphs load without jax."""
