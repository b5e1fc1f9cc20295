"""One renderer and one parser for acting, training and evaluating."""
