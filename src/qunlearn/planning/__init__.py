"""What an experiment costs before it is run: memory, disk, FLOPs and hours, a step each.

Nothing here loads torch: the numbers come from the configuration and from the models' shapes.
"""

from qunlearn.planning.estimate import estimate
from qunlearn.planning.shapes import ModelShape
from qunlearn.planning.steps import StepPlan

__all__ = ["ModelShape", "StepPlan", "estimate"]
