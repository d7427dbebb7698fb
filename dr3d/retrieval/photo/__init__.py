"""Photographs ask the database: their encoder, its training, their queries."""
