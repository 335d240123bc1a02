"""The version of the package, in the one place that the build, the release check and the generator read."""

__version__ = "1.0.0"
