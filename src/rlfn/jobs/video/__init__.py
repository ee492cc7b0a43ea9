"""Videos: every frame through the pipeline of pictures, every other stream as it is, every timestamp where it was."""
