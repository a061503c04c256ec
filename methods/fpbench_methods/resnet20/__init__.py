"""A baseline: a residual network on the image itself, or on what is left of it."""

from fpbench_methods.resnet20.method import ResNet20

__all__ = ["ResNet20"]
