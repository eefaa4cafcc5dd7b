from tests.fixtures.lakehouse import lake

__all__ = ["lake"]
