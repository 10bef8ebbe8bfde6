"""How fast a bundle's control tick is on this machine, by every runtime that gets it right."""
