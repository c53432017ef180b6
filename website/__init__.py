"""The site of the documentation: the pages of `docs/`, references made from the code, a search, and a Markdown twin of each page."""
