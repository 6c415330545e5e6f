"""The command `occ` of the package."""

import os
import sys

from ._command import PROGRAM


def main():
    os.execv(PROGRAM, ["occ", *sys.argv[1:]])


if __name__ == "__main__":
    main()
