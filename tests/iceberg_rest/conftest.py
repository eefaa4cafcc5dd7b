from tests.fixtures.iceberg_rest import served_catalog

__all__ = ["served_catalog"]
