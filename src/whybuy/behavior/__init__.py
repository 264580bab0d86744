"""The behavior model: a causal Transformer over events whose heads are the nuisance functions of every question."""
