"""The .bsq file: its container of checked chunks, and the coding of symbols inside them."""
