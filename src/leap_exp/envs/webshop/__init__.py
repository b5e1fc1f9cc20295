"""WebShop without Java: the original's text mode, exact, on catalogues of any size."""

from leap_exp.envs.webshop.environment import WebShopEnvironment

__all__ = ["WebShopEnvironment"]
