"""Pictures that people have: Pillow's formats in and out, metadata, alpha."""
