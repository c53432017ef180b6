"""The management page: what an operator looks at and acts with, in a browser."""
