"""Training: the base, target and retrain models, and unlearning."""
