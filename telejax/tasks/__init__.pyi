from .base import Task as Task
from .classification import Classification as Classification
from .classification import classification as classification
from .classification import digits as digits
from .koloskova import KoloskovaQuadratic as KoloskovaQuadratic
from .koloskova import koloskova_quadratic as koloskova_quadratic
from .local_accuracy import local_accuracy as local_accuracy
from .poisoned import label_flipped as label_flipped
from .quadratic import Quadratic as Quadratic
from .quadratic import quadratic as quadratic

__all__ = [
    "Classification",
    "KoloskovaQuadratic",
    "Quadratic",
    "Task",
    "classification",
    "digits",
    "koloskova_quadratic",
    "label_flipped",
    "local_accuracy",
    "quadratic",
]
