"""Entropy coding: the range coder, and the adaptive coding of motion vectors."""
