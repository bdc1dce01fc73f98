"""The programs are run by test_questions.py; pytest must not import them when it looks for doctests."""

collect_ignore_glob = ["[0-9]*.py"]
