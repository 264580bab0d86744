"""The command line: one function per command, thin over the pipeline.

Every command takes ``-c``, ``--workspace``, ``--json`` and ``--debug`` after its name. Standard output carries the
answer, one JSON document with ``--json``; progress and messages go to standard error. Exit 0: done. Exit 2: something
the user can mend, said in one message. Exit 1: a defect, said in one line, with a traceback only under ``--debug``.
"""

import os

# Threads of PyTorch and LightGBM that wait by spinning starve each other as soon as anything else runs on the machine
# (a demo took 8 minutes instead of 2 beside one other process). The variables are read when those libraries load.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

from whybuy.cli.app import main

__all__ = ["main"]
