"""What rounding to a quantization grid leaves of an update of the weights."""
