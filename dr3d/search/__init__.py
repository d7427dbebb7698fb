"""From the vectors of known models to an answer: index, votes, database."""
