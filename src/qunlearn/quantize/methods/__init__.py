"""The methods of quantization, a family in each module; `qunlearn.quantize.method` finds them."""
