"""The shipped weights, installed as the package bsqcodec.weights_data; see MODEL_CARD.md."""
