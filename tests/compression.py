"""``python -m tests.compression``: the study `tests.studies.compression`."""

from tests.studies.compression.__main__ import main

if __name__ == "__main__":
    main()
