"""What an adapter must offer, and where adapters are found."""
