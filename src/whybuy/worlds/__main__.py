"""``python -m whybuy.worlds NAME``: compute the truth of a world anew and store it beside its equations."""

import sys

from whybuy.worlds.registry import world

if __name__ == "__main__":
    world(sys.argv[1]).store_truth()
