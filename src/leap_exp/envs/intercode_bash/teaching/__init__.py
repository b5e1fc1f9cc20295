"""The scripted experts of InterCode-Bash, and the reasons that they give."""
