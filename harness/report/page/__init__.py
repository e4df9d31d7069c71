"""What the HTML page is made of: data blocks for its script, and the part that reads without one."""
