"""How results look: short building blocks in text and in HTML that needs no script and fits every theme."""
