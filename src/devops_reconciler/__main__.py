"""`python -m devops_reconciler` is the same as the console script `devops-reconciler`."""

from .cli import main

if __name__ == "__main__":
    main()
