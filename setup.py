"""For tools that need a setup.py; the configuration is in pyproject.toml."""

from setuptools import setup

setup()
