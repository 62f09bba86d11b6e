"""``rnngrad schema``"""

from __future__ import annotations

from rnngrad.cli import options
from rnngrad.cli.boundary import bounded


@bounded
def schema(
    output: options.Output = None, force: options.Force = False, debug: options.Debug = False
) -> int:
    """Print the JSON Schema of a spec, for an editor's completion and checks."""
    import json

    from rnngrad.cli.output import check_writable, write_text
    from rnngrad.files import json_schema

    check_writable(output, force)
    write_text([json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"], output)
    return 0
