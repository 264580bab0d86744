"""The spike-in certificate: whether the adjustment holds on this very log.

Behaviors whose effects are known are planted into copies of the log, and everything that answers questions (training,
scan, confirmation, checks, verdict) is run again on every copy by the same code. ``markers`` says what is planted,
``walk`` (with ``arrays`` and ``steps``) plants it and replays the truth, ``past`` and ``copied`` turn a log into what
is walked through and back, ``certify`` runs the copies, ``result`` says what came out, and ``picture`` draws it.
"""

from whybuy.causal.certificate.result import Certificate, KindResult, MarkedPair

__all__ = ["Certificate", "KindResult", "MarkedPair"]
