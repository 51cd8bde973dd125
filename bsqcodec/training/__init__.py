"""Training of the tokenizer and the prior; needs only torch, numpy, Pillow, safetensors, tqdm."""
