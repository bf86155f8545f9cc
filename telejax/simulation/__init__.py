"""One run: its arguments, its compiled program, its record, its checkpoints."""
