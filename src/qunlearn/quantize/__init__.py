"""From a trained checkpoint to what would be shipped, and back to a model that can be evaluated.

`method.py` is the registry, `methods/` has the methods. Linear layers are quantized;
embeddings, norms and lm_head keep their float32 values.
"""
