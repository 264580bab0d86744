"""From the trained model to causal answers: trials, nuisance, scan, confirmation, checks, verdict."""
