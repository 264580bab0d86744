"""``python -m whybuy`` with a model that drops no channels: which ones are dropped depends on the process."""

import runpy
from dataclasses import replace

from whybuy.behavior.sizes import RECIPES

if __name__ == "__main__":
    tiny = RECIPES["tiny"]
    RECIPES["tiny"] = replace(tiny, trunk=replace(tiny.trunk, dropout=0.0))
    runpy.run_module("whybuy", run_name="__main__")
