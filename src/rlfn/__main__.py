"""``python -m rlfn`` is the ``rlfn`` command."""

from rlfn.cli import program

program()
