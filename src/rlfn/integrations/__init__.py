"""Integrations of RLFN with third-party tools."""
