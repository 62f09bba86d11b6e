"""What the user writes -> what the core takes."""

from rnngrad.spec.loading import load
from rnngrad.spec.schema import json_schema

__all__ = ["json_schema", "load"]
