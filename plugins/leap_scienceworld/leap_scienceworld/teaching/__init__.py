"""The scripted expert of ScienceWorld, its facts and its reasons."""
