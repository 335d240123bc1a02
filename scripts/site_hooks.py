"""MkDocs hooks: add the pages outside docs/, and rewrite links between files to links between pages.

In the repository, pages link to files, such as `../README.md#errors` from docs/ or `docs/gaps.md` from the README. On
the site, these files are pages, listed in `PAGES`. The hooks resolve each link as in the repository and replace it by
the path of the page, so that the same Markdown works in both places. This includes generated pages.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "LICENSE": "license.md",
    "examples": "examples.md",
}
"""Files of the repository and their pages on the site."""
_SOURCES = {page: source for source, page in PAGES.items()}
_LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?\)")
_DEFAULT = re.compile(r"\[default to ([^\]]*)\]")  # in generated pages; mkdocstrings takes it for a link
_HEADING = re.compile(r"<h[1-3]\b.*?</h[1-3]>", re.DOTALL)
_FENCE = re.compile(r"^(```.*?^```)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside docs/."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=_make_page(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links between files of the repository to links between pages. Code blocks stay unchanged."""
    here = page.file.src_uri
    markdown = _DEFAULT.sub(r"(default to \1)", markdown)
    parts = _FENCE.split(markdown)
    return "".join(part if part.startswith("```") else rewrite_links(part, here) for part in parts)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Allow identifiers in headings to break after an underscore: the calls' names are wider than a phone."""
    return _HEADING.sub(lambda heading: re.sub(r"(<[^>]*>)|_", lambda found: found[1] or "_<wbr>", heading[0]), html)


def rewrite_links(markdown: str, page: str) -> str:
    """Return the Markdown of a page with links to files of the repository replaced by links to pages."""
    source = _SOURCES.get(page, f"docs/{page}")

    def rewrite(link: re.Match[str]) -> str:
        target, anchor = link[1], link[2] or ""
        if "://" in target or target.startswith("mailto:"):
            return link[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        place, anchor = _find_site_page(file, anchor)
        return f"]({posixpath.relpath(place, posixpath.dirname(page) or '.')}{anchor})"

    return _LINK.sub(rewrite, markdown)


def _find_site_page(file: str, anchor: str) -> tuple[str, str]:
    if file.startswith("examples/"):
        return PAGES["examples"], f"#{posixpath.basename(file)}".replace(".", "")
    return PAGES.get(file, file.removeprefix("docs/")), anchor


def _make_page(source: Path) -> str:
    if source.is_dir():
        return "# Examples\n\nThese programs run unchanged against a sandbox.\n" + "".join(
            _make_example_section(file) for file in sorted(source.glob("*.py"))
        )
    text = source.read_text(encoding="utf-8")
    return text if source.suffix == ".md" else f"# License\n\n```text\n{text}```\n"


def _make_example_section(file: Path) -> str:
    return f"\n## {file.name}\n\n```python\n{file.read_text(encoding='utf-8')}```\n"


class Docstrings(griffe.Extension):
    """Remove the `::` before code blocks in docstrings: in Markdown, the indentation is enough."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Remove it from one docstring."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"(?m)^::\n", "", obj.docstring.value)
