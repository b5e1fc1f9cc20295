"""The built-in shop: products, attributes and instructions from a seed."""
