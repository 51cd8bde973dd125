"""The family of the paper: codes on a sphere, a ViT tokenizer, a transformer over their bits."""
