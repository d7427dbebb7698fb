"""A database behind a service: the calls of `Database` over HTTP.

Needs neither jax nor a database: renderer, network and index run where
`dr3d serve` does.
"""

from dr3d.client.client import Client

__all__ = ["Client"]
