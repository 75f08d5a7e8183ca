"""Fusing a folder on many computers by Ray Data; needs the extra ``ray``."""
