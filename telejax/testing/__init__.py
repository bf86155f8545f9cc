"""Conformance checks for your own algorithms and tasks; telejax's own pass the same."""

from telejax.testing.algorithm import CHECKS, check_algorithm
from telejax.testing.task import check_task
from telejax.testing.tasks import TreeTask

__all__ = ["CHECKS", "TreeTask", "check_algorithm", "check_task"]
