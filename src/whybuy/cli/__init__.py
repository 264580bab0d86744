"""The command line: one function per command, thin over the pipeline.

Every command takes ``-c``, ``--workspace``, ``--json`` and ``--debug`` after its name. Standard output carries the
answer, one JSON document with ``--json``; progress and messages go to standard error. Exit 0: done. Exit 2: something
the user can mend, said in one message. Exit 1: a defect, said in one line, with a traceback only under ``--debug``.
"""

from whybuy.cli.app import main

__all__ = ["main"]
