"""A picture to .bsq bytes and back."""
