"""The terms of unlearning losses, a module each; `qunlearn.training.objectives` finds them."""
