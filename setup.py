"""The entry that older tools look for; every fact stands in pyproject.toml."""

from setuptools import setup

setup()
