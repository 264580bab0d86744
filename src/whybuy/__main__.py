"""``python -m whybuy``: the program as a module, which is how ``torchrun`` starts it."""

from whybuy.cli import main

if __name__ == "__main__":
    main()
