"""Videos that people have: FFmpeg's formats and numbered pictures, in and out."""
