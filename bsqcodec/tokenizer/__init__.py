"""The BSQ-ViT tokenizer: pixels to binary codes and back."""
