"""How the default model is made. See README.md in this folder."""
