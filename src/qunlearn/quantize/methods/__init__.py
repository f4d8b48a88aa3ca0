"""The methods of quantization, a module each; `qunlearn.quantize.method` finds them."""
