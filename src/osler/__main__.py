"""``python -m osler``: the same as the command ``osler``."""

from osler.cli.app import main

if __name__ == "__main__":
    main()
