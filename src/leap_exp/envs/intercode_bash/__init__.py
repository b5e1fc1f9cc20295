"""InterCode-Bash: requests in words, answered by shell commands in a throw-away machine."""
