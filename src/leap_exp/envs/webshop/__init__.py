"""WebShop without Java: the original's text mode, exact, on catalogues of any size."""
