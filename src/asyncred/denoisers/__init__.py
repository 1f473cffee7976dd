"""Denoisers: ONNX networks, how far they see, what they are worth, their derivative."""
