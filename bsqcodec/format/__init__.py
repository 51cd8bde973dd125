"""The bytes of .bsq files: containers of checked chunks for pictures and videos."""
