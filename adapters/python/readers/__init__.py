"""Result files of the agent's tools -> `Profile`, one module a tool. The files come from inside the target and are hostile."""
