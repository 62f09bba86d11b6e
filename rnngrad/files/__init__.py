"""What the user writes -> what the core takes."""

from rnngrad.files.loading import load
from rnngrad.files.schema import json_schema

__all__ = ["json_schema", "load"]
