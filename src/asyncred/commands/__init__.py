"""The commands, one module each: what people type, and what they are told."""
