"""Tasks for a person to try: WebShop in the browser, ALFWorld in the terminal, on the engines that students meet."""
