"""Conformance checks for your own algorithms and tasks; telejax's own pass the same."""

from telejax.testing.checks import TreeTask, check_algorithm, check_task

__all__ = ["TreeTask", "check_algorithm", "check_task"]
