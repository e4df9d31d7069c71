"""From a Report to something a person or a script reads: terminal, Markdown, JSON, one HTML page. Pure."""
