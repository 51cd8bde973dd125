"""The autoregressive prior: coding order, transformer, and its exact integer inference."""
