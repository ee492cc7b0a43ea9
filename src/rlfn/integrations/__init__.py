"""RLFN inside other people's tools."""
