"""Metrics, test sets, benchmarks and profiles. Free of torch."""
