"""Training of the tokenizer and the prior; needs only torch, numpy, Pillow and safetensors."""
