"""Several methods on one task, or on tasks of several sizes: each with its best step size, by the same rules."""
