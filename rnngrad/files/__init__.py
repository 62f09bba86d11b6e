"""What the user writes -> what the core takes."""

from rnngrad.files.specification.loading import load
from rnngrad.files.specification.schema import json_schema

__all__ = ["json_schema", "load"]
