"""What the nodes compute."""

from telejax.tasks.base import Task
from telejax.tasks.classification import Classification, classification, digits
from telejax.tasks.koloskova import KoloskovaQuadratic, koloskova_quadratic
from telejax.tasks.quadratic import Quadratic, quadratic

__all__ = [
    "Classification",
    "KoloskovaQuadratic",
    "Quadratic",
    "Task",
    "classification",
    "digits",
    "koloskova_quadratic",
    "quadratic",
]
