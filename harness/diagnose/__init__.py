"""Judge a timeline: growth, verdict, endpoint. Pure."""
