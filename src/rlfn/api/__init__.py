"""The functions of the Python API: pictures.py for pictures, videos.py for videos, pool.py for their models."""
