"""What a run returns: history, models, tables, plots, files."""
