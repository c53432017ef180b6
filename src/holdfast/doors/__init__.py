"""One folder for each language spoken. A door parses, calls one engine verb, and renders; it never sees a store."""
