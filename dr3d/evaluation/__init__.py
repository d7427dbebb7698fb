"""How good are the answers? Measures, protocols and untrained rivals."""
