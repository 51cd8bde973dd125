"""Video: frames predicted from the frame before them, and what is left coded as tokens."""
