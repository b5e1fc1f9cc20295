"""What models read and write: text, token ids, token trees, and the scoring of tokens in them.

One renderer, one parser and one token tree serve acting, scoring and training.
"""
