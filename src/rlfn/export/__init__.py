"""Exports of a network to the formats that other programs run. Needs torch."""
