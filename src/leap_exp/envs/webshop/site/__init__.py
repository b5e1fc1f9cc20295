"""The shop as a web site for people, on the engine that students use."""
