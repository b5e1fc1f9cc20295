"""``leap bench scale``: what acting and the loop can take, with a stand-in for the model."""
