"""How two pictures or videos differ: measures, and pages to look at."""
