"""``rnngrad init``"""

from __future__ import annotations

from rnngrad.cli import options
from rnngrad.cli.boundary import bounded

STARTER = "starter.yaml"


@bounded
def init(output: options.Output = None, force: options.Force = False) -> int:
    """Write a commented starter spec; its first line points an editor at the schema."""
    from importlib.resources import as_file, files

    from rnngrad.cli.output import check_writable, write_text

    check_writable(output, force)
    package = files("rnngrad.spec")
    with as_file(package / "schema.json") as schema_file:
        where = schema_file.as_uri()
    starter = (package / STARTER).read_text(encoding="utf-8")
    write_text([f"# yaml-language-server: $schema={where}\n{starter}"], output)
    return 0
