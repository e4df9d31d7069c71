"""One defect a module, or something healthy that looks like one."""
