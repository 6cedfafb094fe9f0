"""Reports: one module an output."""
