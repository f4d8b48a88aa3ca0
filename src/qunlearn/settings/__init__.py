"""The settings that decide the numbers of each step, and nothing else: a frozen dataclass per step.

The configuration, the scripts' command lines and the manifests all carry these. Each step has a
module of its own, so that a new setting of one step does not run another step again. The meaning of
a setting is the docstring below it: config/README.md and `--help` print it.
"""
