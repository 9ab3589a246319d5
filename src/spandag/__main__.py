"""``python -m spandag``, where the script is not on the path."""

from spandag.cli import main

main()
