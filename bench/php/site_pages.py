"""The pages that are requested: an empty script, a generated one, and DokuWiki's start page where Debian's package is there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

PAGES = Path(__file__).parent / "pages"
DOKUWIKI = Path("/usr/share/dokuwiki/doku.php")
CLASSES, ROWS = 60, 60
_CLASS = """<?php
final class Part{number}
{{
    private $rows = array();
    private $self;
    private $title;

    public function __construct($title)
    {{
        $this->title = $title;
        $this->self = $this; // only the collector frees it
    }}

    public function add($key, $text)
    {{
        $this->rows[$key] = array('text' => $this->linked($text), 'size' => strlen($text), 'words' => explode(' ', $text));
    }}

    private function linked($text)
    {{
        return preg_replace_callback('/page_(\\\\d+)/', array($this, 'link'), htmlspecialchars($text));
    }}

    public function link($match)
    {{
        return sprintf('<a href="/%s">%s</a>', $match[1], ucfirst($match[0]));
    }}

    public function render()
    {{
        uasort($this->rows, function ($a, $b) {{
            return $a['size'] <=> $b['size'];
        }});
        $cells = array_map(function ($row) {{
            return '<td>' . $row['text'] . '</td>';
        }}, $this->rows);
        return "<h2>$this->title</h2><tr>" . implode('', $cells) . '</tr>';
    }}
}}
"""


class Page(NamedTuple):
    """A script and the parameters that make it a page."""

    name: str
    script: Path
    parameters: dict[str, str]


def write_pages(directory: Path) -> list[Page]:
    """Put them below the directory, readable by everybody."""
    (directory / "classes").mkdir()
    for number in range(CLASSES):
        (directory / "classes" / f"Part{number}.php").write_text(_CLASS.format(number=number))
    shutil.copy(PAGES / "empty.php", directory / "empty.php")
    page = (PAGES / "page.php").read_text().replace("PAGE_CLASSES", str(CLASSES)).replace("PAGE_ROWS", str(ROWS))
    (directory / "page.php").write_text(page)
    found = [
        Page("an empty script", directory / "empty.php", {}),
        Page(f"a page of {CLASSES} classes", directory / "page.php", {}),
    ]
    if DOKUWIKI.is_file():
        parameters = {
            "SCRIPT_NAME": "/dokuwiki/doku.php",
            "REQUEST_URI": "/dokuwiki/doku.php",
            "DOCUMENT_ROOT": "/usr/share",
        }
        found.append(Page("DokuWiki, its start page", DOKUWIKI, parameters))
    return found
