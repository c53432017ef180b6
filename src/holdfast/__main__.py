"""`python -m holdfast` is `holdfast`."""

from holdfast import process

process.leave_working_directory()

from holdfast.cli.entry import main  # noqa: E402  (nothing of it may come from the working directory)

main()
