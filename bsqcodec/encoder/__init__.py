"""What only an encoder decides: targets, rate-distortion optimisation, masking, rate control."""
