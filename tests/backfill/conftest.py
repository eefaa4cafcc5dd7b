from tests.fixtures.lakehouse import demo, lake

__all__ = ["demo", "lake"]
