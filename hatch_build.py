"""What an index shows of the project: the README, whose links must not lead to files that the index does not have. And the manual pages of a wheel.

With HOLDFAST_REPOSITORY in the environment, as `https://github.com/OWNER/NAME`, they lead to the files of this version there. Without it only their
text is left. A source archive keeps what it was built with.

HOLDFAST_MAN names the folder with the manual pages, which `make dist` has written; without it a wheel has none.
"""

import os
import re
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

# A fence, which is kept; or a link or picture whose target is neither on another host nor on the page.
_RELATIVE = re.compile(r"^```.*?^```$|(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)\s]+)\)", re.MULTILINE | re.DOTALL)


def for_index(readme: str, repository: str, version: str) -> str:
    """The README with its relative links made absolute, or without them if no repository is known."""

    def replaced(found: re.Match[str]) -> str:
        picture, text, target = found.groups()
        if target is None:
            return found[0]
        if not repository:
            return "" if picture else text
        return f"{picture}[{text}]({repository}/{'raw' if picture else 'blob'}/v{version}/{target})"

    return _RELATIVE.sub(replaced, readme)


class ForIndex(MetadataHookInterface):
    """Gives the fields that pyproject.toml calls dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the README, and the links of the project where they are known."""
        repository, version = os.environ.get("HOLDFAST_REPOSITORY", "").rstrip("/"), metadata["version"]
        readme = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": for_index(readme, repository, version)}
        metadata["urls"] = {}
        if repository:
            metadata["urls"] = {
                "Source": repository,
                "Documentation": f"{repository}/blob/v{version}/docs/guides/README.md",
                "Changes": f"{repository}/blob/v{version}/CHANGELOG.md",
            }


class WithManualPages(BuildHookInterface):
    """Puts the manual pages where `man` looks for them."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  (hatchling's own signature)
        """Add each page to a wheel."""
        folder = os.environ.get("HOLDFAST_MAN")
        if folder and self.target_name == "wheel":
            pages = sorted(Path(self.root, folder).glob("*.1"))
            build_data["shared_data"] |= {str(page): f"share/man/man1/{page.name}" for page in pages}
