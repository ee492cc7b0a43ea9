"""Pictures by the million: from one store of files to another, by worker processes on one machine or on many.

The work runs on Ray. Its parts, from the bottom up: :mod:`stores` (folders, buckets), :mod:`manifest` (what was done),
:mod:`sources` (what is to be done), :mod:`names` (of outputs), :mod:`todo` (what is left), :mod:`files` (those of a
batch), :mod:`worker` (one process's work), :mod:`scatter` (one picture by several), :mod:`crew` (the processes),
:mod:`schedule` (who does what next) and :mod:`driver`, which ties them together.
"""
