"""What a model needs: its shape, its memory and its speed, before any weights are loaded."""
