"""A hook of MkDocs: files of the repository that the pages link to come along under ``repository/``."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(\.\./((?:src|configs|benchmarks|examples|tests)/[^)#\s]+|[A-Za-z-]+\.(?:md|cff|txt)|LICENSE)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds every file that a page links to outside of the folder of pages."""
    pages = [page.content_string for page in files.documentation_pages()]
    for path in sorted({match for page in pages for match in LINK.findall(page)}):
        if (ROOT / path).is_file():
            name = f"repository/{path}" + (".txt" if path.endswith((".md", "LICENSE")) else "")
            files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Points those links at the copies."""
    return LINK.sub(
        lambda match: f"](repository/{match[1]}" + (".txt" if match[1].endswith((".md", "LICENSE")) else ""), markdown
    )
