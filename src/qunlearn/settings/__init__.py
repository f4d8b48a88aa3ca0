"""What decides the numbers of each step: one frozen dataclass a step, with nothing else in it.

The configuration, the scripts' command lines and the manifests all carry these. Each step has a
module of its own, so that a new setting of one step does not run another step again. The meaning of
a setting is the docstring below it: config/README.md and `--help` print it.
"""
