"""Teaching in WebShop: the experts, their reasons, the privileged facts and human demonstrations."""
