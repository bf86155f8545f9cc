"""A report of what was run: one HTML file that needs no network, in plain words, with charts, tables and doubts."""
