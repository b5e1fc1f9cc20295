"""WebShop without Java: the text mode of the original, reproduced exactly, for catalogues of any size."""

from leap_exp.envs.webshop.environment import WebShopEnvironment

__all__ = ["WebShopEnvironment"]
