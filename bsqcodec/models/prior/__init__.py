"""The prior: coding order, network, and its exact integer inference."""
