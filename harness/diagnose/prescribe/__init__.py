"""What to do about a finding: rules are data (`harness/prescriptions`, and what users add), this package applies them. Pure.

`language` is what conditions are written in, `template` what texts are; `vocabulary` lists the names both may use and
`observed` fills them in for one finding; `rule` reads rules from parsed files; `apply` gives findings their prescriptions.
Files are read by `harness.analysis.prescriptions`. For people: docs/prescriptions.md.
"""
