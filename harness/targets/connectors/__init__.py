"""Ways to reach a host: ``spec`` says what a connector can do, and each other module is one kind of connector."""
