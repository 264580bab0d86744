"""How much less is bought when a price rises: elasticities by category, from prices that change over time.

``cells`` reads a log into categories by periods and checks plain arrays, ``nuisance`` foretells units and prices,
``elasticity`` compares what is left of both, ``result`` says it.
"""

from whybuy.campaign.price.cells import PriceCells, cells_of_log
from whybuy.campaign.price.elasticity import elasticities_of, price_elasticity, price_elasticity_of_log
from whybuy.campaign.price.result import CategoryElasticity, PriceElasticity

__all__ = [
    "CategoryElasticity",
    "PriceCells",
    "PriceElasticity",
    "cells_of_log",
    "elasticities_of",
    "price_elasticity",
    "price_elasticity_of_log",
]
