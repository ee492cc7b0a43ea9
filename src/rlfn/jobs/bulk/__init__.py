"""Bulk processing: pictures from one store to another, by worker processes on one machine or on many.

The work runs on Ray. The modules, from the bottom up: :mod:`locations` (paths and URLs), :mod:`stores` (folders,
buckets), :mod:`manifest` (finished pictures), :mod:`sources` (input pictures), :mod:`names` (of outputs),
:mod:`pending` (unfinished pictures), :mod:`files` (of a batch), :mod:`worker` (one process), :mod:`part_dispatch` (one
picture by several workers), :mod:`ray_workers` (the processes), :mod:`scheduler` (which worker does what) and
:mod:`driver`, which ties them together.
"""
