"""``python -m rnngrad`` is ``rnngrad``."""

from rnngrad.cli.main import main

if __name__ == "__main__":
    main()
