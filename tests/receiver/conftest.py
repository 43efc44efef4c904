"""A broker and clients that are stopped, for each test its own."""

from tests.main_job.conftest import broker, cache_type, make_client

__all__ = ["broker", "cache_type", "make_client"]
