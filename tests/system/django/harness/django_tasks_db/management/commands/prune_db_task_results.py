"""Only a name is imported; the tests of it can't apply: the server forgets results by itself."""

import logging

logger = logging.getLogger(__name__)
