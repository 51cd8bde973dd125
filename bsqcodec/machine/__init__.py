"""What depends on the machine: precision of networks, threads, memory. No coded integer does."""
