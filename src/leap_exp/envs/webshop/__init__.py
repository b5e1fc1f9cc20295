"""WebShop: a simulated shop with a search engine, remade so that it installs with pip."""
