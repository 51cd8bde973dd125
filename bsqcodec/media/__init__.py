"""Reading and writing what people have: pictures of every kind, their metadata, whole files."""
