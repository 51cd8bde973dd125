"""The learned transform: pixels to integers and back, and what it is for frames of videos."""
